"""Training: from data sets to a fitted model.

run       everything that decides what a fitted model is, and training by it: data sets become files
loop      gradient steps as a generator that can be interrupted; closed-form solutions likewise
state     a model during training: everything needed to resume, and one step
states    the states of a split, by their places in order of time
problem   what a task says for models to be trained on it
batches   what a training batch of a task is
tuning    choices made on the validation split
options   what a user can set of training
"""
