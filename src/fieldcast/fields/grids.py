"""Latitudes and longitudes of grids that are not latitude by longitude: projected, rotated, or moving with no time."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.conventions import DIMS, axes, degrees_axis

_STANDARD = {
    "x": ("projection_x_coordinate", "grid_longitude"),
    "y": ("projection_y_coordinate", "grid_latitude"),
}
_NAMES = {"x": ("x", "xc", "xgrid", "rlon", "west_east"), "y": ("y", "yc", "ygrid", "rlat", "south_north")}
_METRES = {
    "": 1.0,
    "m": 1.0,
    "metre": 1.0,
    "meter": 1.0,
    "metres": 1.0,
    "meters": 1.0,
    "km": 1e3,
    "kilometers": 1e3,
}


def with_latitudes(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """A data set whose cells have latitudes and longitudes, in one dimension each or in two.

    Those that WRF repeats for each time are taken from the first. Where there are none, x, y and the `grid_mapping`
    (CF, section 5.6) give them.
    """
    for name, array in dataset.variables.items():
        if array.ndim == 3 and (axis := degrees_axis(array.attrs)) is not None:
            first = array.isel({array.dims[0]: 0})
            if not bool((array == first).all()):
                raise InputError(
                    f"the {axis} '{name}' of {where} changes in time: put the data on one grid first"
                )
            dataset = dataset.drop_vars(str(name)).assign_coords({str(name): first})
    names = axes(dataset)
    if "latitude" in names or "longitude" in names:
        return dataset
    mapping, along = _mapping(dataset), {axis: _projected(dataset, axis) for axis in ("x", "y")}
    if mapping is None or None in along.values():
        return dataset
    return _unprojected(dataset, mapping, dataset[along["x"]], dataset[along["y"]], where)


def _mapping(dataset: xr.Dataset) -> str | None:
    """Name of the variable that describes the grid of a variable."""
    for array in dataset.data_vars.values():
        given = str(array.attrs.get("grid_mapping", array.encoding.get("grid_mapping", "spatial_ref")))
        name = given.partition(":")[0].strip()
        if array.ndim >= 2 and name in dataset.variables and dataset[name].attrs:
            return name
    return None


def _projected(dataset: xr.Dataset, axis: str) -> str | None:
    """Name of the coordinate along an axis of a projection or of a rotated grid."""
    for name, array in dataset.variables.items():
        if array.ndim == 1 and array.attrs.get("standard_name") in _STANDARD[axis]:
            return str(name)
    return next((str(name) for name in dataset.coords if str(name).lower() in _NAMES[axis]), None)


def _unprojected(
    dataset: xr.Dataset, mapping: str, x: xr.DataArray, y: xr.DataArray, where: str
) -> xr.Dataset:
    """A data set with the coordinates `lat` and `lon` (y, x), by PROJ."""
    try:
        from pyproj import CRS, Transformer
        from pyproj.exceptions import ProjError
    except ImportError as error:
        raise InputError(
            f"{where} is on a projected grid ('{mapping}'), which needs a package that is not installed: `pip install "
            "pyproj`"
        ) from error
    attrs: dict[Any, Any] = dataset[mapping].attrs
    text = attrs.get("crs_wkt") or attrs.get("spatial_ref")
    try:
        crs = CRS.from_wkt(text) if text else CRS.from_cf(attrs)
        rotated = crs.is_derived and not crs.is_projected
        to_degrees = Transformer.from_crs(
            crs, crs.source_crs if rotated else crs.geodetic_crs, always_xy=True
        )
    except (ProjError, KeyError, ValueError) as error:
        raise InputError(
            f"the grid mapping '{mapping}' of {where} cannot be read ({error}): correct it, or give the cells their "
            "latitudes and longitudes"
        ) from error
    scale = {}
    for coordinate in (x, y):
        units = str(coordinate.attrs.get("units", "")).strip().lower()
        if not crs.is_projected and ("deg" in units or not units):
            scale[coordinate.name] = 1.0
        elif crs.is_projected and units in _METRES:
            scale[coordinate.name] = _METRES[units]
        else:
            raise InputError(f"'{coordinate.name}' of {where} is in '{units}': give it in m or km")
    east, north = np.meshgrid(x.values * scale[x.name], y.values * scale[y.name])
    longitude, latitude = to_degrees.transform(east, north)
    dims = (y.dims[0], x.dims[0])
    return dataset.assign_coords(
        lat=(dims, latitude, {"units": "degrees_north", "standard_name": DIMS[1]}),
        lon=(dims, longitude, {"units": "degrees_east", "standard_name": DIMS[2]}),
    )
