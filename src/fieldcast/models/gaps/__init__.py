"""Records with missing values.

record                    fill a whole record: p(x | everything observed at all times)
trial                     methods compared at observed values that they do not see
calibration               spreads scaled to the errors at such values
dineof                    leading modes of the record itself, as DINEOF iterates them
expectation_maximisation  probabilistic PCA with missing values; low_rank_gaussian: its posterior given any cells
smoother                  a linear dynamical system of modes, fitted by EM
in_time                   interpolation and red noise at each cell
augmentation              complete training records, drawn from what was observed
reach                     e-folding lengths of the correlation of anomalies in space and time
cells, pieces             states as vectors of existing values, processed in pieces of bounded memory
"""
