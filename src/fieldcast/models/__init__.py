"""Models, each a distribution p(x | c): torch, numpy and scipy, and pydantic for their configuration.

core             Context, Batch, Model: Solved (closed form), Trained (gradient steps) or Combined (of fitted models)
space            the grid of states: its cells, their areas and static fields; points: observations between cells
random_streams   the only source of randomness: a counter-based generator keyed by (seed, step, datum, member, call)
configuration    checks the YAML of a model against the annotations of its constructor, and builds the model; options:
                 ranges and names of values; source_code: digests of the code of the classes
capabilities     optional capabilities of a model: density, latents, snapshots of a chain, analysis step
replicas         the devices of a run, and a model on several of them side by side; checks of what its methods return
masks            observed cells: one function for each pattern
gaps             records with missing values: expectation-maximisation, DINEOF, a Kalman smoother, kriging
gaussian         components of Gaussian models: covariances, Kalman gains, grid points, training series, seasons
assimilation     filters: Kalman, LETKF, hybrid, and baselines without a cycle
layers           components of networks and losses: convolutions on a grid, U-Net, couplings, CRPS
distributions    posteriors and the standard prior of a latent; autoencoder: what the autoencoders share
posterior_samplers  draws of p(x | y) from a diffusion model of p(x)
image_transforms preprocessing of images: binarisation, dequantisation

Models that a configuration selects with `type: module.Class`:

climatology, interpolation, kriging, optimal_interpolation, gappy_pca, dineof, low_rank     the classical models of
                       reconstruction, which learn from records with gaps
climatology, climatological_ensemble, persistence, analogue, linear_inverse_model     and of forecasts
probabilistic_pca      the Gaussian of the training states, with an exact density: a floor for `sample`
vae                    VAE, ConditionalVAE = encoder + decoder + likelihood + prior: `encoders`, `conditional`,
                       `decoders`, `likelihoods`, `priors`
latent_table           an auto-decoder: a table of latents instead of an encoder
flow, diffusion, edm   a normalising flow; denoising diffusions, with a `schedule` or by Karras et al. (2022)
ensemble               a network trained with the fair CRPS of its own draws
stepped, corrected     wrappers: a base plus a learned correction; `corrected_dynamics`: the base of forecasts
pool, emos             members of several fitted models in one ensemble; forecasts of one model, calibrated
"""
