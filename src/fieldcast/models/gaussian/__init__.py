"""Components of Gaussian models: correlations, gains, grid points and stations, time series, seasons, robustness."""
