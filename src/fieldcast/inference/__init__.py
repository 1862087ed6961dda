"""Inference: draws of fitted models, as data sets.

trained_model        `fieldcast.load(path)`: .fill, .forecast, .sample
compatibility        whether data fit a trained model, and a checkpoint fits this run
reconstruct          draws of fields from observations; quality_control: which observations a model rejected
rollout              any model again and again, each step from the draws of the one before
ensemble_forecast    rollouts from the stored initial times, lead time by lead time
long_rollout         rollouts of which only statistics are kept
external_forecasts   forecasts made elsewhere
sampling             draws of states, their likelihood, their reconstruction
latent_space         the codes of a model, for the report
feature_extractor    the features in which sets of states are compared; sample_sets: those sets
multi_seed           which runs may be gathered over seeds
user_layout          results in the user's own dimension names, order and attributes
options              what a user can set of draws and of files
"""
