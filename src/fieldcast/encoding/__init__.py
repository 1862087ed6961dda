"""Encoding: the bridge between data sets in physical units and the tensors that models see.

anomalies       Dataset <-> standardised anomalies from the climatology of the day
states          Dataset <-> standardised states whatever the day, and images
checkpoint      a trained model with its codec, as one safetensors file
observations    the stored masks and the values observed through them
stations        a table of stations as observations between cells
initial_times   the initial times of forecasts, shared by every method
selection       evenly spaced data, and the data of a training step
device, costs   the device that a run computes on; its time and peak memory
options         user options for observations and initial times
"""
