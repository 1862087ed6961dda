"""Gridded fields in time: numpy, xarray and scipy, no torch.

sources       a user's file or store, opened lazily        layout         names and dimensions of the contract
ingest        from any data set to `fields` and a table    mending        what is put right in coordinates
quality       what values are refused or allowed           contracts      what the catalog holds its data to
calendars     days and hours of any calendar               periods        between two ISO dates
grid          cell areas, points on the sphere             splits         training, validation, test
climatology   the normal state of each day of the year     normalisation  what standardises a field
planet        the simulated planet, the embedded data      options        what a user can set
names         short names of variables                     blocks         data in blocks of time
joining       several files as one data set                coordinates    latitudes and longitudes in degrees
netcdf3       how long a classic file must be              chunks         missing chunks of a Zarr store
valid         declared valid ranges                        fills          fill values that are not declared
packing       packed numbers                               versions       final before preliminary data
"""
