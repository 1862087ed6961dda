"""The pipeline `forecast_scores`: scores of a user's gridded forecasts at stations."""
