"""The stage `rollout`: forecasts from the stored initial times, and the statistics of a long rollout."""
