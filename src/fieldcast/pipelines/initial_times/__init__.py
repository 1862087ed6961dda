"""The stage `initial_times`: initial times of forecasts, and the forecasts of the perfect model from them."""
