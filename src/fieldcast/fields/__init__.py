"""Gridded fields in time: numpy, xarray and scipy, no torch.

options        options of ingestion                         sources           a user's files, selected and joined
opening        one file or store, local or remote           joining           several files as one data set
netcdf3        length of a classic file                     chunks            missing chunks of a Zarr store
conventions    CF names and dimensions to the contract      coordinates       latitudes and longitudes in degrees
levels         a variable for each level                    versions          final before preliminary data
undecodable    why a file cannot be decoded                 table_columns     columns of tables of stations
packing        packed numbers                               valid             declared valid ranges
fills          undeclared fill values                       notes             notes on values, as attributes
parameter_names  short names of variables                   ingest            from a data set to `fields`
repair         order and duplicates of coordinates          survey, quality   checks of the values
contracts      what the catalog enforces                    chunked           iteration in blocks of time
periods        intervals of ISO dates                       paths             local paths, globs and addresses
units          conversions between units of measure         unit_jumps        changes of units midway
splits         training, validation, test                   domain            cells in which a variable exists
climatology    the normal for each day of the year          harmonics         a shrunk annual cycle
normalisation  statistics that standardise fields           image_files       IDX files, OpenML
event_thresholds   quantiles for each day of the year
fill_flags     flags of the values of a filled record
ingestion_sources  planet, files, images, packages
prepared       all that ingestion leaves                    planet            the simulated planet
result_names   suffixes of the variables of results
stations       tables of stations                           bilinear          the observation operator
gauges         tables of stations as matrices               target_grid       grids made for stations
forecast_files   forecasts in any CF-like layout            images            grey images in place of fields
"""
