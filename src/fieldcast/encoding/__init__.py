"""Encoding: the bridge between data sets in physical units and the tensors that models see.

anomalies       Dataset <-> standardised anomalies of a day
states          the same for states of any day, and for images
checkpoint      a model that is useful alone, as one safetensors file
observations    the stored masks and the values observed through them
initial_times   the initial times of forecasts, the same for every method
selection       which data of a record to take
device, costs   the device that a run computes on; time and peak memory on it
options         what a user can set of observations and initial times
"""
