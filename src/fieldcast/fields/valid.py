"""Treat values outside valid_range, valid_min and valid_max as missing (CF conventions, section 2.5.1).

For packed data the bounds are packed numbers; if they are floating-point numbers and the packed data are integers, they
are in the unpacked units (NetCDF User Guide, attribute conventions).
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float

from fieldcast.fields.packing import is_packed, unpacked

VALID = "fieldcast_valid_range"  # attribute: (lowest, highest) in the array's units
_KEYS = ("valid_range", "valid_min", "valid_max")


def within_valid_range(array: xr.DataArray) -> xr.DataArray:
    """Replace values outside the declared range by NaN; lazy if the array is."""
    return masked(with_valid_range(array)) if VALID not in array.attrs else array


def with_valid_range(array: xr.DataArray) -> xr.DataArray:
    """Add the attribute VALID if a range is declared."""
    low, high = valid_range(array)
    return array if np.isinf(low) and np.isinf(high) else array.assign_attrs({VALID: (low, high)})


def masked(array: xr.DataArray) -> xr.DataArray:
    """Replace values outside the range of the attribute VALID by NaN."""
    if VALID not in array.attrs:
        return array
    low, high = array.attrs[VALID]
    return array.where((array >= low) & (array <= high))


def valid_range(array: xr.DataArray) -> tuple[float, float]:
    """Lowest and highest valid value in the units of the array; infinite if not declared."""
    both = _numbers(array, "valid_range")
    low, high = both if both.size == 2 else (_bound(array, "valid_min"), _bound(array, "valid_max"))
    if is_packed(array):
        scale = float(array.encoding.get("scale_factor", 1.0))
        if scale < 0 and any(_in_packed_units(array, key) for key in _KEYS):
            low, high = high, low
        low, high = low - abs(scale) / 2, high + abs(scale) / 2  # room for rounding
    low, high = (bound if np.isfinite(bound) else end for bound, end in ((low, -np.inf), (high, np.inf)))
    if array.dtype.kind == "f":  # round the bounds as the values were rounded
        with np.errstate(over="ignore"):
            low, high = (array.dtype.type(bound) for bound in (low, high))
    return float(low), float(high)


def _bound(array: xr.DataArray, key: str) -> float:
    number = _numbers(array, key)
    return float(number[0]) if number.size == 1 else np.nan


def _in_packed_units(array: xr.DataArray, key: str) -> bool:
    return is_packed(array) and np.asarray(array.attrs.get(key)).dtype.kind in "iu"


def _numbers(array: xr.DataArray, key: str) -> Float[np.ndarray, " numbers"]:
    """Numbers of an attribute in the units of the array; empty if it is absent or not numeric."""
    numbers = np.ravel(array.attrs.get(key, []))
    if numbers.dtype.kind not in "fiu":
        return np.empty(0)
    return unpacked(numbers, array) if _in_packed_units(array, key) else numbers.astype(float)
