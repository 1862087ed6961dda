"""Models: what p(x | c) is. torch, numpy and scipy, and pydantic for their configuration.

space            where states live: the grid, its cells, what is known of them without a date
core             Context, Batch, Model: Solved (closed form) or Trained (gradient steps)
configuration    what the YAML of a model may say: the annotations of its constructor; build
capabilities     what a model may do besides drawing: densities, latents, snapshots of a chain, an analysis step
derived          what a model works out from its fitted state once
random_streams   the only randomness: a counter-based generator, keyed by (seed, step, datum, member, call)
masks            which cells are observed: one function a pattern
gaussian         what Gaussian models share: correlations, Kalman gains, grid points, training series, seasons
layers           parts of networks and losses: convolutions round the globe, couplings, filters, CRPS
image_transforms what a model sees of an image

Models that a configuration names, as `type: module.Class`:

climatology, interpolation, kriging, optimal_interpolation, gappy_pca     the classical models of reconstruction
climatology, climatological_ensemble, persistence, analogue, linear_inverse_model     and of forecasts
probabilistic_pca      the Gaussian of the training states, with an exact density: a floor for `sample`
vae                    VAE, ConditionalVAE = encoder + decoder + likelihood + prior: `encoders`, `conditional`,
                       `decoders`, `likelihoods`, `priors`
latent_table           an auto-decoder: a table of latents instead of an encoder
flow, diffusion        a normalising flow; a denoising diffusion, with its `schedule`
ensemble               a network trained by the exactly fair CRPS of its own draws
stepped, corrected     wrappers: a base plus a network
"""
