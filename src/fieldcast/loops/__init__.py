"""Loops: the one bridge between torch and xarray.

options      what a user can set of training and sparsification, checked before anything runs
codec        Dataset <-> standardised tensors
checkpoint   a model that is useful alone, as one safetensors file
tasks        what a training batch of a task is
fit          gradient steps as a generator that can be interrupted; closed-form solutions likewise
tune         choices made on the validation split
observations the stored masks and the values seen through them
draw         a model's draws, as data sets
load         `fieldcast.load(path)`: .fill
"""
