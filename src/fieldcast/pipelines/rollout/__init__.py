"""The stage `rollout`: forecasts from the stored starts, and the statistics of a long rollout."""
