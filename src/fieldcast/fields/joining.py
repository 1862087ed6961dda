"""Join several files: concatenate files of the same variables in time, merge files of different variables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from fieldcast import calendars
from fieldcast.errors import InputError
from fieldcast.fields.chunked import blocks
from fieldcast.fields.conventions import units_of
from fieldcast.fields.notes import with_notes_of_all
from fieldcast.fields.repair import refuse_far_years
from fieldcast.geometry import different_axis


def join_files(parts: Sequence[tuple[str, xr.Dataset]]) -> xr.Dataset:
    """Join the data sets of several files, given as (path, data set) in the order of the paths.

    Raises
    ------
    InputError
        For files on different grids, with different times or calendars, in different units, or with different
        dimensions or values of one variable.
    """
    if not parts:
        return xr.Dataset()
    groups: dict[tuple[str, ...], list[tuple[str, xr.Dataset]]] = {}
    for path, part in parts:
        _check_grid(part, parts[0][1], path, parts[0][0])
        _check_calendar(part["time"], parts[0][1]["time"], path, parts[0][0])
        groups.setdefault(tuple(sorted(map(str, part.data_vars))), []).append((path, part))
    records = [(group[0][0], _concatenated(group)) for group in groups.values()]
    first = records[0][1]
    for path, record in records:
        if "time" in first.dims and not np.array_equal(record["time"].values, first["time"].values):
            raise InputError(f"'{path}' has other times than '{parts[0][0]}': give files of the same period")
    for (path, record), (other_path, other) in combinations(records, 2):
        for name in (name for name in record.data_vars if name in other.data_vars):
            if difference := _difference(record[name], other[name]):
                raise InputError(
                    f"'{name}' has other {difference} in '{other_path}' than in '{path}': drop it from one of them"
                )
    return xr.merge(
        [record for _, record in records], join="exact", compat="override", combine_attrs="override"
    )


def _difference(x: xr.DataArray, y: xr.DataArray) -> str:
    """The first of dimensions, units and values in which two variables differ; empty if they are equal."""
    if set(x.dims) != set(y.dims):
        return "dimensions"
    if units_of(x) != units_of(y):
        return "units"
    y = y.transpose(*x.dims)
    if "time" not in x.dims:
        return "" if np.array_equal(x.values, y.values, equal_nan=True) else "values"
    x, y = x.transpose("time", ...), y.transpose("time", ...)
    equal = all(np.array_equal(values, y[span].values, equal_nan=True) for span, values in blocks(x))
    return "" if equal else "values"


def _concatenated(group: Sequence[tuple[str, xr.Dataset]]) -> xr.Dataset:
    """Concatenate in time, keeping the notes on values of every file."""
    path, first = group[0]
    for other, part in group[1:]:
        for name in part.data_vars:
            expected, units = (units_of(dataset[name]) for dataset in (first, part))
            if expected != units:
                raise InputError(
                    f"'{name}' {expected} in '{path}' and {units} in '{other}': convert one of them, or correct its "
                    "attribute 'units'"
                )
    if len(group) == 1:
        return first
    return xr.concat(
        [part for _, part in group], dim="time", data_vars="minimal", coords="minimal", compat="override",
        join="override", combine_attrs=with_notes_of_all,
    )  # fmt: skip


def _check_calendar(time: xr.DataArray, first: xr.DataArray, path: str, first_path: str) -> None:
    if not calendars.same_calendar(time, first):
        raise InputError(
            f"'{path}' has the calendar '{time.dt.calendar}' and '{first_path}' '{first.dt.calendar}': convert one "
            "of them (xarray's convert_calendar)"
        )
    if time.dtype.kind != first.dtype.kind:  # one of them is beyond the range of datetime64
        refuse_far_years(time, f"'{path}'")
        refuse_far_years(first, f"'{first_path}'")


def _check_grid(part: xr.Dataset, first: xr.Dataset, path: str, first_path: str) -> None:
    if axis := different_axis(part, first):
        raise InputError(
            f"'{path}' is on a different grid from '{first_path}' ({axis}): give files on the same grid"
        )
