"""Loops: the one bridge between torch and xarray.

options      what a user can set of training, sparsification, rollouts, checked before anything runs
codec        Dataset <-> standardised tensors
checkpoint   a model that is useful alone, as one safetensors file
tasks        what a training batch of a task is
train        training from data sets: a recipe and some fields become files
fit          gradient steps as a generator that can be interrupted; closed-form solutions likewise
training     a model on its way: what a training state holds, one step of it
tune         choices made on the validation split
observations the stored masks and the values seen through them
starts       from where forecasts start
draw         a model's draws, as data sets
rollout      any model again and again, each step from the draws of the one before
forecasts    rollouts from the stored starts, lead by lead, as data sets
stability    long rollouts, of which statistics are kept
adopt        forecasts made elsewhere
fitting      whether data fit a trained model; what differs is one sentence
as_before    results laid out as the user's data set was
load         `fieldcast.load(path)`: .fill, .forecast
costs        peak memory of a device
provenance   commit and versions of what was made
"""
