"""The stage `initial_times`: starts of forecasts, and the forecasts of the perfect model from them."""
