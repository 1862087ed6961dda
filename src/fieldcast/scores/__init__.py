"""How good a draw is: statistics at each time first, then weighted means, then metrics; roots and ratios come last.

=======================  =================================================================================
`statistics`             per cell: errors of the member mean, fair CRPS, variance, ranks, coverage by ranks
`energy`, `ssim`         of whole maps: the energy score; structural similarity
`evaluator`              the statistics of an ensemble in every cell that exists
`regions`                area-weighted means of these, over kinds of cells or bands of latitude
`metrics`                scores as records: statistics, the function of their means, title, explanation
`bootstrap`              block resampling of times, and the intervals that follow
`spectra`                zonal spectra, effective resolution
`reconstruction`         what the evaluation of one experiment of the task `reconstruct` stores
`forecast`               the same of `forecast`: `alignment` finds the truth
`sample`                 the same of `sample`: `sample_scores`, with what a perfect model and noise score
`distances`              Frechet and kernel distance, classifier two-sample test, Wasserstein, nearest neighbours
`diagnostics`            rank histograms, spectra and distributions of one experiment, for figures
`examples`               the few fields that are stored to be looked at
`stability`              a long rollout step by step: drift, structure, divergence
`field_features`         the features of weather fields: principal components and local statistics
`latent_codes`           which components of a latent code to look at
`statistics_table`       the stored statistics in long format, and their digest
`leaderboard_schema`     what the leaderboard of each task holds
`leaderboard`            scores, intervals, paired comparisons of many experiments, from stored tables
`multi_seed`             leaderboards of runs with different seeds, as mean and standard deviation
`equal_cost`             forecasts with as many members as the same time allows
`summary`                the few lines that a run ends with, in tables of `text_table`
`training_log`           the history of a training or of a tuning
=======================  =================================================================================

An evaluation stores statistics, not scores: root mean squares, intervals and differences between
experiments that were evaluated on different days then need no field, and averages cannot be taken in the
wrong order. Of samples it stores scores: how far two sets are apart is no mean over times.
"""
