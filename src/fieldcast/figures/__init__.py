"""Figures: functions of xarray and pandas that return a matplotlib Figure and touch no global state.

===================  ============================================================================
`style`              one look an experiment, the same in every figure; sizes, axes, text
`curves`             scores against the fraction observed or the lead (`leads`); errors over time
`sheet`              many maps of one grid
`maps`               truth, observations and reconstructions side by side
`forecast_maps`      the first steps of a forecast, snapshots of a long one; `animation`: as a film
`masks`              what was observed, one picture a pattern
`ranks`              rank histograms
`spectra`            power of members and of errors, relative to the truth; `lead_spectra`: of forecasts
`samples`            samples of each model beside real data
`pictures`           rows of grey images, or of maps of one variable
`decoded`            test data, reconstructions and samples; `latent_grid`: decoded grids of codes
`denoising`          a diffusion step by step; `nearest`: samples and their nearest training states
`embedding`          test data among the codes; `prior`: whether the prior is where they are
`sample_scores`      FID, KID, accuracy of a classifier; `sample_spectra`, `wasserstein`: of fields
`long_rollout`       a long rollout step by step
`training`           loss while training
`png`                a figure as PNG
===================  ============================================================================
"""
