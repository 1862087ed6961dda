"""Latitudes and longitudes in degrees: convert radians, reject rotated and projected coordinates.

Rotated coordinates are in degrees too, and projected ones may be named lat and lon; only their attributes distinguish
them from true latitudes and longitudes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from fieldcast.counted import counted
from fieldcast.errors import InputError

DIMS = ("time", "latitude", "longitude")
_RADIANS = {"rad", "radian", "radians", "radians_north", "radians_east"}
_GLOBE = "latitude_longitude"
# attributes that hold a coordinate reference system as text (WKT); spatial_ref is GDAL's name
_TEXTS = ("crs_wkt", "spatial_ref")
_SIGNS = {"PROJCS": "projected", "PROJCRS": "projected", "DERIVINGCONVERSION": "rotated"}
_TODO = "interpolate it to a regular latitude-longitude grid first"


def in_degrees(coordinate: xr.DataArray, axis: str, where: str) -> xr.DataArray:
    """Latitude or longitude (`axis`) in degrees, which is also assumed if the coordinate has no units.

    Raises
    ------
    InputError
        For any unit other than degrees and radians, for a rotated or projected coordinate, and for NaN or Inf in it.
    """
    standard_name = str(coordinate.attrs.get("standard_name", ""))
    if standard_name.startswith(("grid_", "projection_")):
        raise InputError(
            f"the {axis} '{coordinate.name}' of {where} is a {standard_name} (its standard_name), not a {axis} on "
            f"the globe: {_TODO}"
        )
    values = coordinate.values
    if values.dtype.kind not in "fiu":
        kind = "text" if values.dtype.kind in "USO" else values.dtype.name
        raise InputError(f"the {axis}s of {where} are {kind}: make them numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(
            f"the {axis} '{coordinate.name}' of {where} holds NaN or infinity "
            f"({counted(int((~np.isfinite(values)).sum()), 'value')} of {values.size}): correct it"
        )
    units = str(coordinate.attrs.get("units", "")).strip().lower()
    if units in _RADIANS:
        degrees = np.round(np.rad2deg(values.astype(np.float64)), 10)  # 60, not 60.00000000000001
        return xr.DataArray(degrees, dims=coordinate.dims, name=coordinate.name, attrs={"units": "degrees"})
    if units and not any(sign in units for sign in ("deg", "°")):
        raise InputError(
            f"the {axis} '{coordinate.name}' of {where} is in '{units}', not in degrees: convert it, or, if the "
            f"grid is projected, {_TODO}"
        )
    return coordinate


def refuse_projected(dataset: xr.Dataset, where: str) -> None:
    """Reject a variable whose grid mapping (CF, section 5.6) is not a plain latitude-longitude grid.

    Raises
    ------
    InputError
        Naming the variable and its grid mapping.
    """
    for name, array in dataset.data_vars.items():
        if array.ndim < 2:
            continue
        # rioxarray's spatial_ref counts even if no variable refers to it
        attribute = str(array.attrs.get("grid_mapping", array.encoding.get("grid_mapping", "spatial_ref")))
        mapping = attribute.partition(":")[0].strip()  # "name", or "name: x y"
        described = dataset[mapping].attrs if mapping in dataset.variables else {}
        grid = _not_the_globe(mapping, described)
        if grid:
            raise InputError(
                f"variable '{name}' of {where} is on a {grid} (its grid_mapping '{mapping}'): {_TODO}"
            )


def _not_the_globe(mapping: str, described: Mapping[str, object]) -> str:
    """Description of a rotated or projected grid, from its CF name, else its WKT, else its variable's name; or ""."""
    if "grid_mapping_name" in described:
        kind = str(described["grid_mapping_name"])
        return "" if kind == _GLOBE else f"{kind} grid"
    text = " ".join(str(described.get(key, "")) for key in _TEXTS).upper()
    for sign, kind in _SIGNS.items():
        if sign in text:
            return f"{kind} grid"
    return f"{mapping} grid" if "rotated" in mapping.lower() else ""
