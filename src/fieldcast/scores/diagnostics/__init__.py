"""Rank histograms, spectra and distributions that an evaluation stores for figures.

`reconstruction`, `forecast` and `sample`: a module for each task.
"""
