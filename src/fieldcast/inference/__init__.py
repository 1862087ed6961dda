"""Inference: draws of fitted models, as data sets.

loading              a trained model from its file, or by the name of its experiment
trained_model        its methods: .fill, .forecast, .sample; filling, forecast_layout, ensemble_moments: their results
compatibility        checks that data fit a trained model
reconstruct          draws of fields from observations; quality_control: observations that a model doubts
assimilate           cycles of forecasts and observations; forecast_from_analyses: forecasts from their analyses, scored
cycle                a cycle over a user's record; cycle_models: forecaster and filter from checkpoints;
                     withheld, cycle_quality: scores of its analyses without any truth
stations             observations between cells, their error; left_out_stations: scores without any truth
grid_stations        fields from stations alone; surfaces, station_climate, station_kriging: their prediction;
                     gridding_scores: left-out stations, and the spread that their errors imply
fill_gaps            a record filled from its own values; gap_trials: the comparison of methods; gaps_result: the filled
                     data set; gaps_series: series for figures; gaps_outcome, gaps_report, gaps_reliability: the report
rollout              repeated steps of a model, each from the draws of the last one
ensemble_forecast    rollouts from the stored initial times, lead time by lead time
long_rollout         rollouts that keep statistics only
external_forecasts   forecasts made elsewhere
sample, likelihood   draws of states; likelihood, codes and reconstructions of data
latent_space         the latent space of a model, for the report
feature_extractor    features in which sets of states are compared; sample_sets: these sets;
                     image_classifier: the classifiers that give features of images
multi_seed           the check that runs may be gathered over seeds
user_layout          results in the user's own dimension names, order and attributes; result_attributes: CF and ACDD
onnx_export          the step of a forecast, or a decoder, as ONNX; whole_file: files written in one step
options              user options for draws; file_options: options of the commands on a user's files
"""
