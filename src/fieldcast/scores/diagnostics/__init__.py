"""Rank histograms, spectra and distributions that an evaluation stores for figures."""
