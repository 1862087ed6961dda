"""Determine in which cells a variable exists: sea surface temperature does not exist on land.

The attribute `missing` of fields is "train" if cells that exist lack values at some times (`ingestion.missing`).
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Bool

from fieldcast.errors import InputError
from fieldcast.fields.chunked import blocks
from fieldcast.fields.conventions import time_varying


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


def exists(fields: xr.Dataset) -> xr.DataArray:
    """Mask (variable, latitude, longitude): False where a time-varying variable never has a value.

    Without gaps the first time suffices: a cell lacks values at all times or at none.
    """
    names = time_varying(fields)
    masks = [_any_value(fields[name], has_gaps(fields)) for name in names]
    return xr.concat(masks, dim=xr.Variable("variable", names)).rename("exists").drop_attrs()


def common_cells(fields: xr.Dataset) -> Bool[np.ndarray, "y x"]:
    """The cells in which the variables exist.

    Raises
    ------
    InputError
        If the variables exist in different cells: models take and draw all of them in each cell.
    """
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
