"""Packed data: integers in the file, times `scale_factor`, plus `add_offset` (CF conventions, section 8.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

_KEYS = ("scale_factor", "add_offset", "_Unsigned")


def is_packed(array: xr.DataArray) -> bool:
    """Whether an array was packed in the file that it was read from."""
    packed = any(key in array.encoding for key in _KEYS[:2])
    return packed and np.dtype(array.encoding.get("dtype", float)).kind in "iu"


def misfit(attributes: Mapping[Any, Any], name: str, where: str) -> str | None:
    """Sentence on an attribute by which a variable is unpacked and that is no number; None if there is none."""
    for key in _KEYS[:2]:
        value = np.asarray(attributes.get(key, 1.0))
        if value.dtype.kind not in "fiu" or value.size != 1:
            kind = f"the text '{value}'" if value.dtype.kind in "US" else f"{value.tolist()}"
            return f"the attribute {key} of '{name}' in {where} is {kind}: make it a number"
    return None


def packed_type(array: xr.DataArray) -> np.dtype:
    """Integer type in the file; unsigned if `_Unsigned` says so, since the format itself has no unsigned types."""
    dtype = np.dtype(array.encoding["dtype"])
    return np.dtype(f"u{dtype.itemsize}") if array.encoding.get("_Unsigned") == "true" else dtype


def declares_missing(array: xr.DataArray) -> bool:
    """Whether the file declares a number for missing values."""
    return any(array.encoding.get(key) is not None for key in ("_FillValue", "missing_value"))


def unpacked(numbers: np.ndarray, array: xr.DataArray) -> Float[np.ndarray, " numbers"]:
    """Unpack numbers with the same arithmetic as the array, so that equal numbers give equal values.

    Numbers beyond the range of the packed type are clipped to it.
    """
    dtype = np.dtype(array.encoding["dtype"])
    if array.encoding.get("_Unsigned") != "true":
        numbers = np.clip(numbers, np.iinfo(dtype).min, np.iinfo(dtype).max)
    attrs = {key: array.encoding[key] for key in _KEYS if key in array.encoding}
    packed = xr.Dataset({"x": ("x", np.asarray(numbers).astype(dtype), attrs)})
    return np.asarray(xr.decode_cf(packed)["x"].values, dtype=float)
