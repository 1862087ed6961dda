"""Encoding: the bridge between data sets in physical units and the tensors that models see.

anomalies       Dataset <-> standardised anomalies from the climatology of the day
states          Dataset <-> standardised states without a date, and images
field_layout    the base of both: variables, grid and attributes
checkpoint      a trained model with its codec, as one file, and what it cost; tensor_file: tensors and a header in one
                file, with a digest, also of work that can be interrupted
observations    the stored masks and the values observed through them, at cells or at simulated stations;
                cycle_observations: observations of successive times
stations        a table of stations as observations between cells
gappy_record    a record with missing values as a matrix of times and cells
initial_times   the initial times of forecasts, shared by every method
event_thresholds  thresholds of events, shared by every method
options         user options for observations and initial times
"""
