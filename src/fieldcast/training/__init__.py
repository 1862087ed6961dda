"""Training: from data sets to a fitted model.

run       a recipe: everything that decides what a fitted model is; from data sets to files
stored_model  a stored checkpoint, and the check that this run would train the same
loop      gradient steps, or a closed-form solution, as a generator that can be interrupted
steps     gradient steps and validations, with the moments at which to save the state and the data of each step
ranks     shares of a batch for several processes, and their sums; rank_processes: start and supervision of these
          processes, and the data that they share
training_state  a model during training: everything needed to resume, and one step
state_source  the states of a split, indexed in order of time, also such as do not fit in memory
task      what a task defines for the training of its models
batches   the training batches of each task
tuning    choices made on the validation split, parameters of EMOS and weights of a pool
calibration   filters fitted in cycles over periods of the training split
fill_gaps  the best method for a record with gaps, and a network that learns from these gaps
options   user options for training
"""
