"""What Gaussian models share: correlations, gains, grid points, time series, the choice of a season, robustness."""
