"""What goes out is laid out as what came in: names, order, coordinates and attributes of a user's data set."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.fields import conventions
from fieldcast.fields.parameter_names import short
from fieldcast.geometry import GRID

PARTS = ("", "_mean", "_spread", "_suspect")
# of the packed or of the observed values, no longer true; and notes made while they were read
RANGE = re.compile("^(fieldcast_|valid_|actual_range)")


def as_before(
    dataset: xr.Dataset, filled: xr.Dataset, codec: FieldCodec, how: str = "filled"
) -> xr.Dataset:  # fmt: skip
    """Draws of the model's variables and their moments, laid out as `dataset`; members follow time.

    Dimensions that the data set has not come first. `how` is told in the history.
    """
    filled = variables_before(dataset, axes_before(dataset, filled, codec), codec)
    history = [line for line in (f"{how} by fieldcast", dataset.attrs.get("history")) if line]
    filled.attrs = {**dataset.attrs, "Conventions": "CF-1.11", "history": "\n".join(history)}
    return filled


def axes_before(dataset: xr.Dataset, filled: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """Dimensions and coordinates of the data set: theirs may descend, start at -180, or have other names."""
    coordinates = {axis: dataset[name] for axis, name in conventions.axes(dataset).items()}
    for axis in GRID:
        values = coordinates[axis].values
        if axis == "longitude" and values.min() < 0 <= codec.longitude.min():
            values = values % 360
        filled = filled.isel({axis: np.argsort(np.argsort(values))})  # the model's axes ascend
    filled = filled.drop_vars(coordinates)
    if not coordinates["time"].ndim:
        filled = filled.squeeze("time")
    dims = {axis: str(one.dims[0]) for axis, one in coordinates.items() if one.ndim}
    filled = filled.rename_dims({axis: dim for axis, dim in dims.items() if axis != dim})
    known = {*filled.dims} - {"member", "lead"}
    return filled.assign_coords(
        {name: one.variable for name, one in dataset.coords.items() if {*one.dims} <= known}
    )


def variables_before(dataset: xr.Dataset, filled: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """Names, order of dimensions and attributes of the data set's variables; each level stays one variable."""
    result = filled.drop_vars(list(filled.data_vars))
    time = dataset[conventions.axes(dataset)["time"]].dims
    for v in codec.variables:
        name = name_before(dataset, v)
        like = dataset[name] if name in dataset else filled[v]
        order = [str(d) for d in like.dims if d in filled.dims and d != "member"]
        order.insert(1 + order.index(str(time[0])) if time else 0, "member")
        for part in (part for part in PARTS if v + part in filled):
            values = filled[v + part]
            new = [d for d in values.dims if d not in order]
            result[name + part] = values.transpose(*new, *(d for d in order if d in values.dims))
        attrs = {**result[name].attrs, **like.attrs}
        result[name].attrs = {key: a for key, a in attrs.items() if not RANGE.search(str(key))}
    return result


def name_before(dataset: xr.Dataset, variable: str) -> str:
    """What the data set calls a variable; one level of many has the model's name."""
    alike = [str(name) for name in dataset.data_vars if short(str(name)) == variable]
    return variable if variable in dataset or not alike else alike[0]
