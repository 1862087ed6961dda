"""Forecasts, as data sets.

ensemble  rollouts of a model from the stored initial times, lead time by lead time, also such as keep statistics
          only; forecasts from the analyses of a cycle, scored
external  forecasts made elsewhere
"""
