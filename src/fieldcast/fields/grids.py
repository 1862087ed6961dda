"""Latitudes and longitudes of grids that are not latitude by longitude: projected, rotated, or moving with no time."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.conventions import DIMS, axes, degrees_axis, grid_mapping_of
from fieldcast.fields.units import conversion

_STANDARD = {
    "x": ("projection_x_coordinate", "grid_longitude"),
    "y": ("projection_y_coordinate", "grid_latitude"),
}
_NAMES = {"x": ("x", "xc", "xgrid", "rlon", "west_east"), "y": ("y", "yc", "ygrid", "rlat", "south_north")}
_WKT = ("crs_wkt", "spatial_ref")
# other texts of a projection: PROJ's own, or a number of EPSG
_TEXTS = (
    "proj4text",
    "proj4_string",
    "proj4_params",
    "proj4",
    "srid",
    "epsg_code",
    "EPSG_code",
    "epsg",
    "EPSG",
)
MIN_METRES = 500.0  # smallest step of a grid whose unit is not given that is taken for one in metres


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
    x, y = (_projected(dataset, axis) for axis in ("x", "y"))
    if x is None or y is None:
        return dataset
    mapping = _mapping(dataset)
    if mapping is None:
        raise InputError(
            f"{where} is on '{x}' and '{y}' without a description of their projection: add a variable with the CF "
            "attributes of a grid_mapping, or give the cells their latitudes and longitudes"
        )
    return _unprojected(dataset, mapping, dataset[x], dataset[y], where)


def _mapping(dataset: xr.Dataset) -> str | None:
    """Name of the variable that describes the grid: that which a variable names, or else the only one."""
    for array in dataset.data_vars.values():
        name = grid_mapping_of(array)
        if array.ndim >= 2 and name in dataset.variables and dataset[name].attrs:
            return name
    described = [
        str(name)
        for name, array in dataset.variables.items()
        if array.ndim <= 1 and {"grid_mapping_name", *_WKT, *_TEXTS} & {*array.attrs}
    ]
    return described[0] if len(described) == 1 else None


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
    refuse_without_pyproj(f"{where} is on a projected grid ('{mapping}'), which")
    from pyproj.exceptions import ProjError

    attrs = dataset[mapping].attrs
    try:
        projected, metres_of_unit, to_degrees = _projection(
            tuple((str(k), _hashable(v)) for k, v in attrs.items())
        )
    except (ProjError, KeyError, ValueError) as error:
        raise InputError(
            f"the grid mapping '{mapping}' of {where} cannot be read ({error}): correct it, or give the cells their "
            "latitudes and longitudes"
        ) from error
    scale = {}
    for coordinate in (x, y):
        units = str(coordinate.attrs.get("units", "")).strip()
        if not projected and ("deg" in units.lower() or not units):
            scale[coordinate.name] = 1.0
            continue
        steps = np.abs(np.diff(coordinate.values.astype(float)))
        if not units and steps.size and np.median(steps) < MIN_METRES:
            raise InputError(
                f"'{coordinate.name}' of {where} has no units, and steps of {np.median(steps):g}: add its attribute "
                "units, such as m or km"
            )
        in_metres = conversion(units or "m", "m") if projected else None
        if in_metres is None or in_metres.offset:
            raise InputError(f"'{coordinate.name}' of {where} is in '{units}': give it in m or km")
        scale[coordinate.name] = in_metres.scale / metres_of_unit
    east, north = np.meshgrid(x.values * scale[x.name], y.values * scale[y.name])
    longitude, latitude = to_degrees.transform(east, north)
    if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
        raise InputError(
            f"the grid mapping '{mapping}' of {where} gives no latitude and longitude for some of its x and y: correct "
            "it, or their units"
        )
    dims = (y.dims[0], x.dims[0])
    return dataset.assign_coords(
        lat=(dims, latitude, {"units": "degrees_north", "standard_name": DIMS[1]}),
        lon=(dims, longitude, {"units": "degrees_east", "standard_name": DIMS[2]}),
    )


def refuse_without_pyproj(subject: str) -> None:
    """Raise an InputError unless pyproj, the package of the extra `projections`, is installed."""
    if find_spec("pyproj") is None:
        raise InputError(
            f"{subject} needs a package that is not installed: `pip install pyproj`; latitudes and longitudes in the "
            "file do without it."
        )


def _hashable(value: Any) -> Any:
    """An attribute as a text, a number, or a tuple of numbers."""
    return tuple(np.ravel(value).tolist()) if isinstance(value, np.ndarray | list) else value


@cache
def _projection(attributes: tuple[tuple[str, Any], ...]) -> tuple[bool, float, Any]:
    """Whether a grid mapping has lengths x and y, their unit in metres, and the transformation to degrees.

    PROJ takes most of a second for an ellipsoid that its database lacks, and a record may have a file for each day.
    """
    from pyproj import CRS, Transformer

    attrs = dict(attributes)
    wkt = next((attrs[key] for key in _WKT if attrs.get(key)), None)
    other = next((str(attrs[key]) for key in _TEXTS if key in attrs), None)
    if wkt:
        crs = CRS.from_wkt(wkt)
    elif other and "grid_mapping_name" not in attrs:
        crs = CRS.from_user_input(other)
    else:
        crs = CRS.from_cf(attrs)
    rotated = crs.is_derived and not crs.is_projected
    unit = float(crs.axis_info[0].unit_conversion_factor) if crs.is_projected and crs.axis_info else 1.0
    to_degrees = Transformer.from_crs(crs, crs.source_crs if rotated else crs.geodetic_crs, always_xy=True)
    return crs.is_projected, unit, to_degrees
