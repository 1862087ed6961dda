"""Records with missing values.

record                    a record with gaps, states as vectors of its values, and what fills it: p(x | everything
                          observed at all times)
fillers                   the methods
held_out                  observed values that are held out from the methods, as far from others as missing ones, and
                          their weights in means over the missing values
trial                     methods compared at observed values that they do not see
censored                  values at a bound: Gaussian values in place of them, scores of a Gaussian that is cut there
observation_error         observations with errors: smoothed values in their place
error_variance            variance of errors, fitted at such values, far from and near observations
local_kriging             kriging from the nearest observations in space and time, and its parameters
dineof                    leading modes of the record itself, as DINEOF iterates them
expectation_maximisation  probabilistic PCA with missing values; low_rank_gaussian: its posterior given any cells
smoother                  a linear dynamical system of modes, fitted by EM
sampled_modes             modes of a small record whose every unknown is drawn from its posterior
in_time                   interpolation and red noise at each cell, in pieces of bounded memory
augmentation              complete training records, drawn from what was observed
reach                     distances to observations; e-folding lengths of the correlation in space and time
"""
