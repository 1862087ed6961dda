"""Loops: the one bridge between torch and xarray.

options      what a user can set of training, sparsification, rollouts, checked before anything runs
codec        Dataset <-> standardised anomalies
state_codecs the same for states of any day, and for images
checkpoint   a model that is useful alone, as one safetensors file
tasks        what a training batch of a task is
recipe       all that decides what a fitted model is, and training by it: data sets become files
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
matching     whether data fit a trained model; what differs is one sentence
sampling     draws of states, and what a model of states says of data
latents      what a report shows of codes
features     what sets of states are compared in
compare      samples and real states in those features
as_before    results laid out as the user's data set was
load         `fieldcast.load(path)`: .fill, .forecast, .sample
costs        peak memory of a device
provenance   commit and versions of what was made
"""
