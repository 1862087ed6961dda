"""Distances between two sets of states or features."""
