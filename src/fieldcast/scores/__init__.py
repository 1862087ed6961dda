"""Scores of draws: statistics at each time first, then weighted means, then metrics; roots and ratios come last.

=======================  =================================================================================
`statistics`             per cell that exists: errors of the member mean, fair CRPS, variance, ranks, coverage
`regions`                their area-weighted means over kinds of cells or bands of latitude
`score_info`             title, explanation and direction of a score, as tables and reports print them
`metrics`                scores as records: a `ScoreInfo`, statistics, the function of their means
`event_tables`           how often a number of members forecast an event that happened or did not, and its curves
`event_metrics`          scores of events as records, functions of these tables
`sample_metrics`         the scores of generated samples, as records
`bootstrap`              block resampling of times, and the intervals that follow
`spectra`                zonal spectra, effective resolution
`reconstruction`         the evaluation of one experiment of the task `reconstruct`; structural similarity
`forecast`               the evaluation of one experiment of `forecast`, the energy score; `alignment` finds the truth
`assimilation`           the evaluation of a cycle: innovations, and the lead time that its analyses lose
`held_out`               scores at held-out observations, which need no truth
`sample`                 the evaluation of one experiment of `sample`
`distances`              Frechet and kernel distance, classifier two-sample test, Wasserstein, nearest neighbours;
                         those of a perfect model and of noise
`diagnostics`            rank histograms, spectra and distributions of one experiment, for figures
`examples`               the few fields that an evaluation stores for figures
`stability`              a long rollout step by step: drift, structure, divergence
`statistics_table`       the stored statistics in long format, and their digest
`headline`               the score by which experiments are compared
`leaderboard`            scores, intervals, paired comparisons of many experiments, from stored tables
`summary`                the lines that a run prints at its end
`numbers`                numbers as text
=======================  =================================================================================

An evaluation stores statistics, not scores: root mean squares, intervals and differences between experiments that
were evaluated on different days then need no fields, and averages cannot be taken in the wrong order. An evaluation
of samples stores scores, because a distance between two sets is not a mean over times.
"""
