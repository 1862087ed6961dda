"""Components of networks and losses that several models share and no configuration names.

unet               residual blocks, a dense layer at the coarsest level, optional noise
grid_convolutions  convolutions that wrap round the globe; the convolutional encoder and decoder of the reports
                   (docs/systems.md)
coupling           affine coupling layers
crps               the fair CRPS as a loss
"""
