"""Several files as one data set: of the same variables one after the other in time, of other variables side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.notes import with_notes_of_all


def joined(parts: Sequence[tuple[str, xr.Dataset]]) -> xr.Dataset:
    """Join the data sets of several files, given as (path, data set) in the order of the paths.

    Raises InputError for files of another grid, of other times, or in other units.
    """
    if not parts:
        return xr.Dataset()
    groups: dict[tuple[str, ...], list[tuple[str, xr.Dataset]]] = {}
    for path, part in parts:
        _fits(part, parts[0][1], path, parts[0][0])
        groups.setdefault(tuple(sorted(map(str, part.data_vars))), []).append((path, part))
    along = [_in_time(group) for group in groups.values()]
    for (path, _), one in zip((group[0] for group in groups.values()), along, strict=True):
        if "time" in along[0].dims and not np.array_equal(one["time"].values, along[0]["time"].values):
            raise InputError(f"'{path}' has other times than '{parts[0][0]}': give files of the same period")
    return xr.merge(along, join="exact", compat="override", combine_attrs="override")


def _in_time(group: Sequence[tuple[str, xr.Dataset]]) -> xr.Dataset:
    """One after the other; what was noted of values in any file is kept."""
    path, first = group[0]
    for other, part in group[1:]:
        for name in part.data_vars:
            one, two = (dataset[name].attrs.get("units") for dataset in (first, part))
            if one != two:
                raise InputError(f"'{name}' is in {one} in '{path}' and in {two} in '{other}': convert one")
    if len(group) == 1:
        return first
    return xr.concat(
        [part for _, part in group], dim="time", data_vars="minimal", coords="minimal", compat="override",
        join="override", combine_attrs=with_notes_of_all,
    )  # fmt: skip


def _fits(part: xr.Dataset, first: xr.Dataset, path: str, first_path: str) -> None:
    for axis in ("latitude", "longitude"):
        if part.sizes[axis] != first.sizes[axis] or not np.allclose(part[axis], first[axis], atol=1e-4):
            raise InputError(
                f"'{path}' is on another grid than '{first_path}' ({axis}): give files of one grid"
            )
