"""Flags of the values of a filled record."""

OBSERVED, FILLED, EXTRAPOLATED, NEVER = range(4)
MEANINGS = "observed filled extrapolated never_observed"
