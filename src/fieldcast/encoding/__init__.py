"""Encoding: the bridge between data sets in physical units and the tensors that models see.

anomalies       Dataset <-> standardised anomalies from the climatology of the day
states          Dataset <-> standardised states without a date, and images
field_layout    the base of both: variables, grid and attributes
checkpoint      a trained model with its codec, as one file; checkpoint_parts: types and shapes of its parts
tensor_file     tensors and a header in one file, with a digest
observations    the stored masks and the values observed through them; cycle_observations: observations of successive
                times
gappy_record    a record with missing values as a matrix of times and cells
climatological_past   past states of the same season, for a cold start
planet_dynamics the exact model of the simulated planet, for the filter of the perfect model
stations        a table of stations as observations between cells; point_observations: simulated stations
initial_times   the initial times of forecasts, shared by every method
event_thresholds  thresholds of events, shared by every method
selection       the data of a training step
device, costs   the device of a run; its time and peak memory
options         user options for observations and initial times
"""
