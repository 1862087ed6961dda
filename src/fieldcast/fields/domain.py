"""Determine in which cells a variable exists: sea surface temperature does not exist on land."""

from __future__ import annotations

import xarray as xr

from fieldcast.fields.conventions import time_varying


def exists(fields: xr.Dataset) -> xr.DataArray:
    """Mask (variable, latitude, longitude): False where a time-varying variable never has a value.

    The first time suffices: by the contract of `fields` a cell lacks values at all times or at none.
    """
    names = time_varying(fields)
    first = [fields[name].isel(time=0).notnull().reset_coords(drop=True).compute() for name in names]
    return xr.concat(first, dim=xr.Variable("variable", names)).rename("exists").drop_attrs()
