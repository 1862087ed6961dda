"""Models: what p(x | c) is. torch, numpy and scipy, and pydantic for their configuration.

core                   Space, Context, Batch, Model: Solved (closed form) or Trained (gradient steps); build
configuration          what the YAML of a model may say: the annotations of its constructor
abilities              what a model of states can be asked besides draws: densities, codes, a chain on its way
draws                  the only randomness: a counter-based generator, keyed by (seed, step, datum, member, call)
masks                  which cells are observed: one function a pattern
networks               convolutions that go round the globe, the reports' encoder and decoder, a small U-Net
vae                    VAE = encoder + decoder + likelihood + prior
distributions          posteriors and priors of latents
stepped, corrected     wrappers: a base plus a network
climatology, interpolation, kriging, optimal_interpolation, gappy_pca     the classical models of reconstruction
climatology, climatological_ensemble, persistence, analogue, linear_inverse_model     and of forecasts
probabilistic_pca      the Gaussian of the training states, with an exact density: a floor for `sample`
series                 training windows put together again
ensemble, crps         a network trained by the exactly fair CRPS of its own draws
red_noise, shapiro     what its rollouts need: numbers that last, and a filter
"""
