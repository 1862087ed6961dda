"""Restore a user's own layout on results: names, order, coordinates and attributes of the data set."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from fieldcast.encoding.field_layout import FieldLayout
from fieldcast.fields import conventions
from fieldcast.fields.conventions import SUFFIXES, in_degrees, short
from fieldcast.geometry import GRID, counted_from
from fieldcast.kinds import LEAD, MEMBER

# attributes that are no longer true of the result, or that were set while the data were read
STALE_ATTRIBUTES = re.compile("^(fieldcast_|valid_|actual_range|flag_)")


def restore_layout(dataset: xr.Dataset, filled: xr.Dataset, codec: FieldLayout) -> xr.Dataset:
    """Draws of the model's variables and their moments, in the layout of `dataset`; members follow time.

    Dimensions that the data set lacks come first. Bounds of coordinates are kept;
    `result_attributes.with_attributes` sets the global attributes.
    """
    filled = restore_variables(dataset, restore_axes(dataset, filled, codec), codec)
    bounds = {str(array.attrs["bounds"]) for array in filled.coords.values() if "bounds" in array.attrs}
    return filled.assign(
        {name: dataset[name].variable for name in sorted(bounds) if name in dataset.data_vars}
    )


def restore_axes(dataset: xr.Dataset, filled: xr.Dataset, codec: FieldLayout) -> xr.Dataset:
    """Dimensions and coordinates of the data set, which may descend, start at -180 or have other names."""
    plain = conventions.flattened(dataset)
    coordinates = {axis: plain[name] for axis, name in conventions.axes(plain).items()}
    for axis in GRID:
        order = ascending(coordinates[axis], axis, getattr(codec, axis))
        if (np.diff(order) < 0).any():
            filled = filled.isel({axis: np.argsort(order)})
    filled = filled.drop_vars(coordinates)
    if not coordinates["time"].ndim:
        filled = filled.squeeze("time")
    dims = {axis: str(array.dims[0]) for axis, array in coordinates.items() if array.ndim}
    filled = filled.rename_dims({axis: dim for axis, dim in dims.items() if axis != dim})
    drawn = {MEMBER, LEAD}  # dimensions of the result; `.sel(member=3)` leaves a scalar of that name
    shared = {*filled.dims} - drawn
    replaced = {"segment", *(drawn & {*filled.dims})}  # ingestion numbers the segments of stored fields
    names = [name for name in dataset.coords if name not in replaced]
    return filled.assign_coords(
        {name: dataset[name].variable for name in names if {*dataset[name].dims} <= shared}
    )


def ascending(
    coordinate: xr.DataArray, axis: str, contract: Float[np.ndarray, " cell"]
) -> Int[np.ndarray, " cell"]:
    """Positions of the cells along an axis of a data set in ascending order, as the model has them."""
    values = in_degrees(coordinate, axis, "the data set").values.astype(float)
    return np.argsort(counted_from(values, contract.min()) if axis == "longitude" else values)


def to_model_names(result: xr.Dataset, fields: xr.Dataset) -> xr.Dataset:
    """A result in the layout of a user's data set with the names and order of the fields made from it."""
    names: dict[str, str] = {}
    for v in conventions.time_varying(fields):
        name = original_name(result, v)
        names |= {name + suffix: v + suffix for suffix in ("", *SUFFIXES) if name + suffix in result}
    renamed = result.rename(names)
    result, renamed = conventions.flattened(result), conventions.flattened(renamed)
    for axis, name in conventions.axes(result).items():
        dim = str(result[name].dims[0])
        if axis in GRID:
            renamed = renamed.isel({dim: ascending(result[name], axis, fields[axis].values)})
        renamed = renamed.drop_vars(name).rename_dims({dim: axis} if dim != axis else {})
        renamed = renamed.assign_coords({axis: fields[axis].variable})
    return renamed


def restore_variables(dataset: xr.Dataset, filled: xr.Dataset, codec: FieldLayout) -> xr.Dataset:
    """Names, order of dimensions and attributes of the data set's variables; each level stays a variable."""
    result = filled.drop_vars(list(filled.data_vars))
    time = dataset[conventions.axes(dataset)["time"]].dims
    for v in codec.names:
        name = original_name(dataset, v)
        template = dataset[name] if name in dataset else filled[v]
        order = [str(d) for d in template.dims if d in filled.dims and d != MEMBER]
        order.insert(1 + order.index(str(time[0])) if time else 0, MEMBER)
        for suffix in (suffix for suffix in ("", *SUFFIXES) if v + suffix in filled):
            values = filled[v + suffix]
            new = [d for d in values.dims if d not in order]
            result[name + suffix] = values.transpose(*new, *(d for d in order if d in values.dims))
        attrs = {**result[name].attrs, **template.attrs}
        result[name].attrs = {key: a for key, a in attrs.items() if not STALE_ATTRIBUTES.search(str(key))}
    return result


def original_name(dataset: xr.Dataset, variable: str) -> str:
    """Name of a variable in the data set; the name of the model for one of several levels."""
    alike = [str(name) for name in dataset.data_vars if short(str(name)) == variable]
    return variable if variable in dataset or not alike else alike[0]
