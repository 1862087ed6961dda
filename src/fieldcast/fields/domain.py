"""Determine in which cells a variable exists: sea surface temperature does not exist on land.

The attribute `missing` of fields is "train" if cells that exist lack values at some times (`ingestion.missing`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from jaxtyping import Bool

from fieldcast.errors import InputError
from fieldcast.fields.conventions import time_varying
from fieldcast.geometry import GRID, is_curvilinear

# coordinate: cells of the sea by the mask of a file, (latitude, longitude), or (time, latitude, longitude) if it varies
SEA = "sea"


def has_gaps(fields: xr.Dataset) -> bool:
    """Whether values are missing at some times of a cell."""
    return fields.attrs.get("missing") == "train"


def require_complete(fields: xr.Dataset, subject: str) -> None:
    """Raise an InputError for fields with gaps; `subject` is what does not take them, in the plural."""
    if has_gaps(fields):
        raise InputError(
            f"{subject} need complete fields, and these have missing values (ingestion.missing=train): fill them in "
            "first, or run experiments of the task reconstruct whose models learn from gaps, "
            "such as optimal interpolation."
        )


def refuse_curvilinear(fields: xr.Dataset) -> None:
    """Raise an InputError for fields on a grid that is not latitude by longitude."""
    if is_curvilinear(fields):
        raise InputError(
            "the fields are on a curvilinear grid, and models need one of latitudes by longitudes: interpolate the "
            "data to a regular grid first; only `fieldcast fill-gaps`, without a network, takes them as they are."
        )


def exists(fields: xr.Dataset) -> xr.DataArray:
    """Mask (variable, latitude, longitude): False where a time-varying variable never has a value.

    Without gaps the first time suffices: a cell lacks values at all times or at none.
    """
    names = time_varying(fields)
    masks = [_any_value(fields[name], has_gaps(fields)) for name in names]
    return xr.concat(masks, dim=xr.Variable("variable", names)).rename("exists").drop_attrs()


def with_columns(fields: xr.Dataset) -> Bool[np.ndarray, "variable y x"]:
    """The cells in which gaps of each variable are filled: those that exist, and the sea by the mask of the land."""
    cells, at_sea = exists(fields).values, sea(fields)
    return cells if at_sea is None else cells | at_sea


def sea(data: xr.Dataset | xr.DataArray) -> Bool[np.ndarray, "y x"] | None:
    """Cells of the sea by a mask of the land; None without one."""
    lasts = SEA in data.coords and "time" not in data[SEA].dims
    return data[SEA].values.astype(bool) if lasts else None


def masked(fields: xr.Dataset) -> xr.DataArray | None:
    """Mask of the times and cells at which nothing is filled; None for a record without a mask that varies in time."""
    varies = SEA in fields.coords and "time" in fields[SEA].dims
    return ~fields[SEA].reset_coords(drop=True).transpose("time", *GRID).astype(bool) if varies else None


# beginning of the name of a coordinate: standardised anomalies of a predictor
PREDICTOR = "predictor_"
PREDICTED = "predicted"  # attribute of fields: the variables that the predictors predict, one a line


def predictors(fields: xr.Dataset) -> dict[str, xr.DataArray]:
    """The predictors of the variables of a record, by name; they are not filled themselves."""
    names = [str(name) for name in fields.coords if str(name).startswith(PREDICTOR)]
    return {name.removeprefix(PREDICTOR): fields[name].reset_coords(drop=True) for name in names}


def predicted_variables(fields: xr.Dataset) -> list[str]:
    """The variables for which the predictors are used."""
    return str(fields.attrs.get(PREDICTED, "")).splitlines() if predictors(fields) else []


def common_cells(fields: xr.Dataset) -> Bool[np.ndarray, "y x"]:
    """The cells in which the variables exist."""
    refuse_curvilinear(fields)
    by_variable = exists(fields)
    common = by_variable.all("variable")
    if not (by_variable == common).all():
        counts = ", ".join(f"'{cells['variable'].item()}' in {int(cells.sum())}" for cells in by_variable)
        raise InputError(
            f"the variables have values in different cells ({counts}), and models need all of them in each: "
            "select some of them with ingestion.variables (in Python, from the data set), or set all to missing in the "
            "cells where one never has a value."
        )
    return common.values


def _any_value(array: xr.DataArray, gaps: bool) -> xr.DataArray:
    first = array.isel(time=0).notnull().reset_coords(drop=True).compute()
    if not gaps:
        return first
    return first.copy(data=np.any([np.isfinite(x).any(axis=0) for _, x in blocks(array)], axis=0))


# Iterate over data in blocks of time, so that memory use does not grow with the length of the record.


BLOCK_BYTES = 64 * 2**20
SMALL_BLOCK_BYTES = 4 * 2**20  # size of a block that is copied several times in double precision


def in_memory(data: xr.Dataset | xr.DataArray) -> bool:
    """Whether all values are in memory, so that none is read from a store on demand."""
    variables = data.variables.values() if isinstance(data, xr.Dataset) else [data.variable]
    return all(variable._in_memory for variable in variables)


def blocks(array: xr.DataArray, size: int = BLOCK_BYTES) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (slice of time, values) in order; lazily opened data follow their own chunks, each read once.

    Other data come in blocks of about `size` bytes.
    """
    array = array.transpose("time", ...)
    if array.chunks is not None:
        lengths = list(array.chunks[0])
    else:
        per_time = max(1, array.dtype.itemsize * array[:1].size)
        length = max(1, size // per_time)
        lengths = [min(length, array.sizes["time"] - i) for i in range(0, array.sizes["time"], length)]
    start = 0
    for length in lengths:
        span = slice(start, start + length)
        yield span, np.asarray(array.isel(time=span).values)
        start += length
