"""Components of Gaussian models.

covariance_terms    terms of a covariance that is never formed as a whole; positive definite correlations on the sphere
block_gaussian      analysis and check of observations for variables that are independent between blocks; the gain of
                    many observations, patch by patch
conditioning        updates: H, errors of observations, a gain; robustness: observations that do not fit
kalman_gain         the gain at cells, and between them
grid_points         the distinct points of a grid, and the observations at them
training_series     training states in order of time: windows, anomalies and components, a bounded number that is kept
modes               leading modes, of states in memory and of a record that is larger
seasonal_selection  times of a span, year or season
"""
