"""Samples: states drawn from nothing.

sets          drawn states, and the sets that are compared
likelihood    likelihood, codes and reconstructions of data
latent_space  the latent space of a model, for the report
features      features in which sets of states are compared; `classifiers/`: weights of those of images
"""
