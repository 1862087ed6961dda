"""Select a part of a file: a region, and the values that satisfy a condition; lazy if the file is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import reduce
from operator import and_, eq, ge, gt, le, lt, ne

import numpy as np
import xarray as xr

from fieldcast.errors import InputError, listed
from fieldcast.fields.conditions import Condition, conditions
from fieldcast.fields.conventions import MASK, axes, in_degrees
from fieldcast.fields.encoding import declared_encoding, flags_of
from fieldcast.geometry import GRID, TOLERANCE

LOG = logging.getLogger(__name__)
_OPERATORS = {">=": ge, "<=": le, ">": gt, "<": lt, "==": eq, "!=": ne}


def select_part(
    dataset: xr.Dataset, region: Sequence[float] | None, where: str | None, name: str, section: str,
    mask: str | None = None,
) -> xr.Dataset:  # fmt: skip
    """A data set in a region, with the values that satisfy a condition; others become NaN.

    The variable that `mask` names, if the data set has it, becomes the one called `conventions.MASK`.

    Parameters
    ----------
    dataset
        Data as they are in the file, which is `name` in messages.
    region
        Southern, northern, western and eastern limit [degrees], inclusive; west may exceed east.
    where
        Comparisons of variables of the file, see `fields.conditions`.
    section
        Section of the options `region` and `where`, for messages.
    """
    if region is not None:
        dataset = in_region(dataset, region, name, f"{section}.region")
    part = dataset if where is None else satisfying(dataset, where, name, f"{section}.where")
    if mask is None or mask not in dataset.variables:
        return part
    return with_mask(part.drop_vars(mask), dataset[mask], name, f"{section}.mask")


def in_region(
    dataset: xr.Dataset, region: Sequence[float], name: str = "the data", key: str = "region"
) -> xr.Dataset:
    """The cells in a region, see `select_part`; of a grid in two dimensions the smallest rectangle that holds them."""
    south, north, west, east = region
    names = axes(dataset)
    if not {*GRID} <= {*names}:
        return dataset  # which is refused where it is read
    y, x = (in_degrees(dataset[names[axis]], axis, name) for axis in GRID)
    width = east - west if abs(east - west) >= 360 else (east - west) % 360
    rows = (y >= south - TOLERANCE) & (y <= north + TOLERANCE)
    columns = (x - west + TOLERANCE) % 360 <= width + 2 * TOLERANCE
    inside = [rows, columns] if rows.dims != columns.dims else [rows & columns]
    indexers: dict[str, np.ndarray] = {}
    for mask in inside:
        for dim in mask.dims:
            along = mask.any([other for other in mask.dims if other != dim]).values
            if not along.any():
                raise InputError(
                    f"{key} {', '.join(f'{limit:g}' for limit in region)} contains no cell of {name}, whose latitudes "
                    f"run from {float(y.min()):g} to {float(y.max()):g} and longitudes from {float(x.min()):g} to "
                    f"{float(x.max()):g}: give south, north, west, east"
                )
            kept = np.flatnonzero(along)
            indexers[str(dim)] = kept if mask.ndim == 1 else np.arange(kept[0], kept[-1] + 1)
    return dataset.isel(indexers)


def satisfying(dataset: xr.Dataset, where: str, name: str = "the data", key: str = "where") -> xr.Dataset:
    """The values that satisfy a condition, see `select_part`; where it cannot be decided, they become NaN, too."""
    parsed = conditions(where, key)
    kept = reduce(and_, (_satisfied(dataset, condition, name, key) for condition in parsed))
    result = {}
    for variable, array in dataset.data_vars.items():
        quantity = array.dtype.kind in "fiu" and not declared_encoding(array).category
        if {*kept.dims} <= {*array.dims} and array.ndim >= 2 and quantity and variable != MASK:
            result[variable] = array.where(kept).transpose(*array.dims).assign_attrs(array.attrs)
            result[variable].encoding = array.encoding
    for variable, array in result.items():
        if array.chunks is None:  # lazy data are not read twice for a count
            before, after = (int(each.notnull().sum()) for each in (dataset[variable], array))
            LOG.info("%s: %s leaves %d of %d values of '%s'.", name, where, after, before, variable)
    if not result:
        raise InputError(
            f"{key} '{where}' applies to no variable of {name}: its variables are on "
            f"({', '.join(map(str, kept.dims))}), and no other is on these dimensions"
        )
    return dataset.assign(result)


def with_mask(
    dataset: xr.Dataset, mask: xr.DataArray, name: str = "the data", key: str = "mask"
) -> xr.Dataset:
    """A data set with a mask, 1 where values are filled and 0 elsewhere, as its variable `conventions.MASK`.

    A missing value of the mask counts as 0.

    Parameters
    ----------
    dataset
        The data, in any layout.
    mask
        The mask, on (time, y, x) or (y, x), as the data set or a file has it.
    name, key
        Names of the data and of the option in messages.
    """
    named = f"{key} '{mask.name}'"
    if mask.name in mask.coords:
        raise InputError(
            f"{named} of {name} is a coordinate: name a variable that is 1 where values are filled."
        )
    names = axes(dataset)
    on_grid = {dim for axis in GRID if axis in names for dim in dataset[names[axis]].dims}
    in_time = set(dataset[names["time"]].dims) if "time" in names else set()
    dims = {dim for dim, size in mask.sizes.items() if size > 1}
    if not on_grid <= {*mask.dims} or dims - on_grid - in_time:
        raise InputError(
            f"{named} of {name} is on ({', '.join(map(str, mask.dims))}): give a mask on "
            f"({', '.join(map(str, [*sorted(in_time), *sorted(on_grid)]))}), or without time."
        )
    if mask.dtype.kind not in "fiub":
        raise InputError(f"{named} of {name} does not hold numbers: give a variable of 0 and 1.")
    for dim in on_grid | (in_time & {*mask.dims}):
        here, of_mask = (each[dim].values if dim in each.coords else None for each in (dataset, mask))
        if mask.sizes[dim] != dataset.sizes[dim] or not (
            here is None or of_mask is None or np.array_equal(here, of_mask)
        ):
            kind = "other times than" if dim in in_time else "other cells than"
            raise InputError(f"{named} has {kind} {name}: give a mask for the same ones.")
    plain = mask.reset_coords(drop=True).drop_attrs().drop_encoding().astype(np.float32).fillna(0.0)
    plain.attrs["long_name"] = str(mask.name)  # its name in messages
    return dataset.assign({MASK: plain.variable})


def _satisfied(dataset: xr.Dataset, condition: Condition, name: str, key: str) -> xr.DataArray:
    """Mask of the values for which one comparison holds."""
    if condition.variable not in dataset.variables:
        names = sorted(str(v) for v, array in dataset.data_vars.items() if array.ndim)
        raise InputError(
            f"{key}: there is no variable '{condition.variable}' in {name}, only {listed(names, len(names))}: compare "
            "one of these"
        )
    array = dataset[condition.variable]
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{key}: '{condition.variable}' of {name} does not hold numbers: compare another variable"
        )
    if condition.operator in ("with", "without"):
        any_set = reduce(lambda x, y: x | y, (_has(array, m, name, key) for m in condition.values))
        return any_set if condition.operator == "with" else ~any_set & array.notnull()
    if condition.number is None:
        has = _has(array, condition.values[0], name, key)
        if condition.operator not in ("==", "!="):
            raise InputError(
                f"{key}: '{condition.values[0]}' is a meaning of '{condition.variable}', not a number: compare it by "
                "== or !="
            )
        return has if condition.operator == "==" else ~has & array.notnull()
    number = array.dtype.type(condition.number) if array.dtype.kind == "f" else condition.number
    return _OPERATORS[condition.operator](array, number) & array.notnull()


def _has(array: xr.DataArray, meaning: str, name: str, key: str) -> xr.DataArray:
    """Mask of the values of a flag variable with a meaning (CF, section 3.5); NaN has none."""
    values, masks, meanings = flags_of(array)
    lower = [each.lower() for each in meanings]
    if meaning.lower() not in lower:
        named = f"only {', '.join(meanings)}" if meanings else "for it has no flag_meanings"
        raise InputError(
            f"{key}: '{array.name}' of {name} has no meaning '{meaning}', {named}: compare it with one of them, or "
            "with a number"
        )
    i = lower.index(meaning.lower())
    if not len(masks):
        return array == values[i]
    bits = array.fillna(0).astype(np.int64) & int(masks[i])
    return (bits == (int(values[i]) if len(values) else int(masks[i]))) & array.notnull()
