"""Inference: draws of fitted models, as data sets.

trained_model        a model from its file or by the name of its experiment: .fill, .forecast, .sample
compatibility        checks that data fit a trained model
reconstruct          draws of fields from observations, and the observations that a model doubts
forecasts            rollouts from stored initial times or from analyses; forecasts made elsewhere
samples              drawn states, likelihood, latent space, features
stations             observations between cells, scores at held-out stations, fields from stations alone
gaps                 a record filled from its own values
quantities           the mapping of each variable of a record, chosen by held-out values
cycle                cycles of forecasts and updates, also over a user's record
multi_seed           runs with different seeds, gathered
result_attributes    results with the user's own dimension names, order and attributes, and those of CF and ACDD
onnx_export          the step of a forecast, or a decoder, as ONNX
options              user options for draws; file_options: options of the commands on a user's files
"""
