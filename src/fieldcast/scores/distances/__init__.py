"""Distances between two sets of states or features.

frechet      each set as one Gaussian (FID)
kernel       the squared maximum mean discrepancy of a cubic kernel (KID)
two_sample   the accuracy of a classifier that separates them
wasserstein  cell by cell
neighbours   from each state to its nearest training state
"""
