"""Gridded weather as labelled arrays: grids, climatology, normalisation, windows, contracts, the simulated planet."""
