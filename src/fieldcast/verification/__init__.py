"""How good is a draw: statistic at a time, then weighted mean, then metric; roots and ratios come last.

======================  ==================================================================================
`statistics`            per cell: errors of the member mean, fair CRPS, variance, ranks, coverage by ranks
`energy`                of whole maps: the energy score
`ssim`                  per cell: structural similarity of two maps on a grid that may wrap and have holes
`averaging`             area-weighted means of per-cell statistics over chosen cells, one number a time
`regions`               bands of latitude that scores are averaged over
`metrics`               the scores as functions of time means: root mean square error, skill ...
`bootstrap`             block resampling of times, and the intervals that follow
`spectra`               zonal spectra, effective resolution
`reconstruction`        what the evaluation of one experiment of the task `reconstruct` stores
`forecasts`             the same of the task `forecast`: `verifying` finds the truth, `scoring` compares
`diagnostics`           rank histograms and spectra of one experiment, for figures; `forecast_diagnostics`
`stability`             a long rollout step by step: drift, structure, blow-up
`samples`               the same of the task `sample`; `sample_diagnostics`: spectra, cells, neighbours
`sets`                  samples beside real states, with what a perfect model and noise would score
`frechet`               the Fréchet distance of two sets of features, FID; `kernel_distance`, KID
`two_sample`            how well a classifier tells two sets of features apart
`field_features`        the features of weather fields: principal components and local statistics
`wasserstein`           how far two laws of single cells are apart
`neighbours`            the nearest training state of each state
`table`                 the scores table: its rows, its digest
`layout`                what the leaderboard of each task holds
`leaderboard`           scores, intervals, paired comparisons of many experiments, from stored tables
`seeds`                 leaderboards of several runs, each of another seed, as mean and standard deviation
`equal_cost`            forecasts with as many members as the same time allows
`short_table`           the few lines that a run ends with
======================  ==================================================================================

An evaluation stores statistics, not scores: root mean squares, intervals and differences between
experiments that were evaluated on different days then need no field, and averages cannot be taken in the
wrong order. Of samples it stores scores: how far two sets are apart is no mean over times.
"""
