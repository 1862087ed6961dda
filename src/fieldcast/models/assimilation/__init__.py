"""Filters: the last forecast and the observations of its time, combined step by step in a cycle."""
