"""Filters: schemes that combine yesterday's forecast with today's observations, in a cycle."""
