"""Samples: states drawn from nothing.

sets          drawn states, and the sets that are compared
latent_space  likelihood, codes and reconstructions of data; the latent space of a model, for the report
features      features in which sets of states are compared; `classifiers/`: weights of those of images
"""
