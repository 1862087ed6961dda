"""Encoding: the bridge between data sets in physical units and the tensors that models see.

anomalies       Dataset <-> standardised anomalies from the climatology of the day
states          Dataset <-> standardised states whatever the day, and images
field_layout    what both share: variables, grid and attributes
checkpoint      a trained model with its codec, as one file; checkpoint_parts: types and shapes of its parts
tensor_file     tensors and a header in one file, with a digest
observations    the stored masks and the values observed through them; cycle_observations: those of successive times
gappy_record    a record with missing values as a matrix of times and cells
climatological_past   past states of the season, for a cold start
planet_dynamics the exact model of the simulated planet, for its own filter
stations        a table of stations as observations between cells; point_observations: simulated ones
initial_times   the initial times of forecasts, shared by every method
event_thresholds  thresholds of events, shared by every method
selection       evenly spaced data, and the data of a training step
device, costs   the device that a run computes on; its time and peak memory
options         user options for observations and initial times
"""
