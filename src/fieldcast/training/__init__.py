"""Training: from data sets to a fitted model.

run       a recipe: everything that decides what a fitted model is; from data sets to files
stored_model  a stored checkpoint, and the check that this run would train the same
loop      gradient steps, or a closed-form solution, as a generator that can be interrupted
steps     gradient steps and validations, with the moments at which to save the state
ranks     shares of a batch for several processes, and their sums; rank_processes: start and supervision of these
          processes; shared_states: the data that they share
training_state  a model during training: everything needed to resume, and one step
state_source  the states of a split, indexed in order of time; streamed: states that do not fit in memory
problem   what a task defines for the training of its models
batches   the training batches of each task; batch_order: the data of each step
tuning    choices made on the validation split
latent_use  whether the decoder of a VAE uses its latent
calibration   filters fitted in cycles over the training split; cycle_periods: the states that these cycles run over
pool_weights  the weights of a pooled ensemble
emos_fit  the coefficients of calibrated forecasts
fill_gaps  the best method for a record with gaps; gap_correction: a network that learns from these gaps
options   user options for training
"""
