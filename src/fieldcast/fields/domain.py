"""The cells of a grid in which a variable has values: not land for the temperature of the sea."""

from __future__ import annotations

import xarray as xr

from fieldcast.fields.conventions import time_varying


def exists(fields: xr.Dataset) -> xr.DataArray:
    """(variable, latitude, longitude) bool: False where a time-varying variable never has a value.

    One time is enough: by the contract of `fields` a value is missing at all times or at none.
    """
    names = time_varying(fields)
    first = [fields[name].isel(time=0).notnull().reset_coords(drop=True).compute() for name in names]
    return xr.concat(first, dim=xr.Variable("variable", names)).rename("exists").drop_attrs()
