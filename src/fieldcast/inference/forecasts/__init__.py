"""Forecasts, as data sets.

ensemble       rollouts of a model from the stored initial times, lead time by lead time
long_rollout   rollouts that keep statistics only
from_analyses  forecasts from the analyses of a cycle, scored
external       forecasts made elsewhere
"""
