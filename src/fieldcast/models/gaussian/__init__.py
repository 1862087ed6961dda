"""Components of Gaussian models.

block_gaussian           analysis and check of observations for variables that are independent between blocks
correlations             positive definite correlations on the sphere
covariance_terms         terms of a covariance that is never formed as a whole; training_statistics: those of optimal
                        interpolation
conditioning             updates: H, errors of observations, a gain; robustness: observations that do not fit
kalman_gain, point_gain  the gain at cells, and between them
local_gain               the gain of many observations, patch by patch
grid_points              the distinct points of a grid, and the observations at them
training_days            anomalies and components of the training days; training_series: windows in order of time
retained                 the bounded number of training states that a model keeps
modes, streamed_modes    leading modes, of states in memory and of a record that is larger
seasonal_selection       times of a span, year or season
"""
