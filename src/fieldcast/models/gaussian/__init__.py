"""Components of Gaussian models: correlations, gains, grid points, time series, seasonal selection, robustness."""
