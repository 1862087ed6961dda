"""Filters: the last forecast and the observations of its time, combined step by step in a cycle.

filter         the interface
kalman_filter  the exact filter of a linear inverse model
letkf          the local ensemble transform Kalman filter; ensemble_weights, weight_nodes: its weights, and where they
               are computed
perfect_letkf  the same around the model that the truth follows
hybrid         a forecast with the covariance of optimal interpolation; adaptive_scale: its magnitude
by_fraction    a copy of a filter for each fraction of observed cells
cold_start     a filter without calibration; background_errors: its background-error sample
baselines      no update, or no forecast
"""
