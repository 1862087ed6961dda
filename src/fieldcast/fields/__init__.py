"""Gridded fields in time: numpy, xarray and scipy, no torch.

options        options of ingestion
sources        a user's files, selected and joined; paths: local paths, globs and addresses
opening        one file or store, local or remote; its truncation, missing chunks, and why it cannot be decoded
containers     formats by their first bytes; archives of NetCDF, unpacked
encoding       packing, fill values, valid ranges and versions of values, as the file declares them
conventions    names, dimensions, coordinates and levels of CF brought to the contract
times          dates of a record as files give them
grids          latitudes and longitudes of projected, rotated and turned grids
units          conversions between units of measure
conditions     comparisons of variables, parsed
selection      the part of a file in a region, and the values that satisfy a condition
repair         order and duplicates of coordinates
quality        checks of the values
ingest         from a data set to `fields`
contracts      what the catalog enforces
domain         cells in which a variable exists; iteration in blocks of time
splits         training, validation, test
climatology    the normal for each day of the year; a shrunk annual cycle
normalisation  statistics that standardise fields
quantities     mappings to values that are more nearly Gaussian, and back
meaning        what the numbers of a variable mean, and the mappings that it admits
observation_error  errors of observed values, as an option gives them
contents       what is in a data set: variables, gaps, flags of quality; a part that is quickly read
prepared       all that ingestion leaves
stations       tables of stations, without what is no reading; gauges: such tables as matrices
table_layouts  such tables as they come: separators, wide tables, x and y; headings: names of columns
track_files    readings along tracks in NetCDF
bilinear       the observation operator
images         grey images in place of fields, from IDX files or OpenML
planet         the simulated planet
"""
