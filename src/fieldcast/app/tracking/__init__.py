"""Tracking in MLflow.

hook               begins and ends the record of a run, as Kedro's events tell
record             the thread that writes it from what is stored: a parent, and a child for each experiment
stored             what is recorded: data sets that the catalog marks, and when their files were written
metadata           title, tags and description of a run, and the parameters that its nodes read
metrics            losses and scores
models             the checkpoints of a run as logged and registered models; pyfunc_model: how MLflow runs one
"""
