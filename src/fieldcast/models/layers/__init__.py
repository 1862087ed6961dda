"""Components of networks and losses that no configuration names.

unet               residual blocks, a dense layer at the coarsest level, optional noise
encoder_decoder    the convolutional encoder and decoder of the original studies (docs/systems.md)
grid_convolutions  convolutions that wrap round the globe
coupling           affine coupling layers
batch_norm         batch normalisation over the batch of several processes
filters            the Shapiro filter
persistent_noise   red noise that lasts through a rollout
crps, contrasts    the fair CRPS as a loss, of values and of differences between cells
"""
