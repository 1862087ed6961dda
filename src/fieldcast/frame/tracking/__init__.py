"""Tracking in MLflow.

hook               listens to Kedro and passes events on
tracked_run        one run: a parent, and a child for each experiment
metadata, parameters, metrics
                   recorded values: titles and tags; parameters that nodes read; losses and scores
writer             the thread that writes it; background: a thread that does actions in turn
logged_models      the models of a run; logged_checkpoint: one checkpoint as a logged and registered model;
                   pyfunc_model: how MLflow runs it
"""
