"""Figures: functions of xarray and pandas that return a matplotlib Figure.

================  =======================================================================================
`style`           the look of an experiment, the same in every figure; sizes, axes, text; a figure as PNG
`curves`          scores against the fraction observed or the lead time, and of errors over time
`sheet`           many maps of one grid, with coastlines or mountains
`maps`            truth, observations, masks and reconstructions side by side, scores at held-out stations
`forecast_maps`   the first steps of a forecast, snapshots of a long one; all steps, as a GIF; those of a cycle
`gaps`            a record with gaps, and its filled values
`calibration`     rank histograms; reliability diagrams, ROC curves, economic value
`spectra`         power relative to the truth: of members and errors, by lead time, of samples
`samples`         samples of each model beside real data, its reconstructions, its nearest training states; FID, KID
`pictures`        rows of grey images, or of maps of one variable; three maps that illustrate a task
`embedding`       test data in the latent space, and the prior beside the posterior
`long_rollout`    a long rollout step by step
`training`        loss during training
================  =======================================================================================
"""
