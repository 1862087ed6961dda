"""Filters: the last forecast and the observations of its time, combined step by step in a cycle.

filter         the interface; the magnitude of a background covariance
kalman_filter  the exact filter of a linear inverse model
letkf          the local ensemble transform Kalman filter; ensemble_weights: its weights
perfect_letkf  the same around the model that the truth follows
hybrid         a forecast with the covariance of optimal interpolation
by_fraction    a copy of a filter for each fraction of observed cells
background_errors  a filter's background-error sample, from cycles of a filter without calibration
baselines      no update, or no forecast
"""
