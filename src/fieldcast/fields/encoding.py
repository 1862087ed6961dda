"""Encodings of the values of a file: packing, fill values, valid ranges and versions of a variable."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from fieldcast import calendars
from fieldcast.errors import counted

# Packed data: integers in the file, times `scale_factor`, plus `add_offset` (CF conventions, section 8.1).


_PACKING_KEYS = ("scale_factor", "add_offset", "_Unsigned")


def is_packed(array: xr.DataArray) -> bool:
    """Whether an array was packed in the file that it was read from."""
    packed = any(key in array.encoding for key in _PACKING_KEYS[:2])
    return packed and np.dtype(array.encoding.get("dtype", float)).kind in "iu"


def misfit(attributes: Mapping[Any, Any], name: str, where: str) -> str | None:
    """Sentence on an attribute by which a variable is unpacked and that is no number; None if there is none."""
    for key in _PACKING_KEYS[:2]:
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
    attrs = {key: array.encoding[key] for key in _PACKING_KEYS if key in array.encoding}
    packed = xr.Dataset({"x": ("x", np.asarray(numbers).astype(dtype), attrs)})
    return np.asarray(xr.decode_cf(packed)["x"].values, dtype=float)


# Detect undeclared fill values: which values are suspected, and when a suspected value is not data.
#
# A suspected value is rejected if it lies outside the range of all other values by more than the width of that range,
# or if a cell has it at all times, as in a land mask. Otherwise, and if there are no other values, it counts as data.
#
# The suspects are the common fill values below. If packed data declare no fill value, the suspects include the same
# values as packed numbers, and the lowest and highest number of the packed type. Packing often uses the whole type,
# so that the lowest number is an ordinary zero of precipitation or sea ice: a cell that has it at all times then
# counts as masked only if no cell has it at some times but not others, and some cell has other values. Such packing
# also maps a single true extreme to the highest number of the type, or to the second lowest: one such value is data
# if the data also reach the other end of the type. The lowest number gets no such exemption, since it is the usual
# fill value of packed data.


PACKED_FILLS = "fieldcast_packed_fills"  # attribute: {value in the array's units: the packed number}
MIN_MASK_TIMES = 30  # smallest number of times for a mask: over fewer, a value may persist by chance
_WHOLE = (
    *(-99, -999, -9999, -99999, -999999, 999, 9999, 99999, 999999),
    *(32767, -32767, -32768, 65535, 2147483647, -2147483647, -2147483648, -999000000),
)  # fmt: skip
_USUAL = (*map(float, _WHOLE), -99.9, -999.9, 1e15, 1e20, -1e20)


def with_packed_fills(array: xr.DataArray) -> xr.DataArray:
    """Add the attribute PACKED_FILLS to an array that was packed without a declared fill value."""
    if not is_packed(array) or declares_missing(array):
        return array
    dtype = packed_type(array)
    limits = np.iinfo(dtype)
    ends = {limits.max, *({limits.min, limits.min + 1} if dtype.kind == "i" else ())}
    numbers = np.array(sorted({*(n for n in _WHOLE if limits.min <= n <= limits.max), *ends}))
    fills = dict(zip(unpacked(numbers, array).tolist(), numbers.tolist(), strict=True))
    return array.assign_attrs({PACKED_FILLS: fills})


class Occurrences(NamedTuple):
    """Occurrences of a suspected value."""

    count: Int[np.ndarray, "y x"]
    first: int  # index of the first time


class Search:
    """Count suspected values block by block, and track the range of all other values."""

    def __init__(self, array: xr.DataArray):
        self.packed: Mapping[float, int] = {
            float(np.float32(value)): number for value, number in array.attrs.get(PACKED_FILLS, {}).items()
        }
        self.suspects = sorted({*(float(np.float32(value)) for value in _USUAL), *self.packed})
        self.occurrences: dict[float, Occurrences] = {}
        self.low, self.high = np.inf, -np.inf
        self.times = 0

    def add(self, x: Float[np.ndarray, "time y x"]) -> None:
        """Add the next block of times."""
        low, high = np.fmin.reduce(x, axis=None), np.fmax.reduce(x, axis=None)
        other = np.ones(x.shape, dtype=bool)
        for value in (value for value in self.suspects if low <= value <= high):
            equal = x == value
            if equal.any():
                other &= ~equal
                self._record(value, equal)
        self.widen(x if other.all() else x[other])
        self.times += len(x)

    def widen(self, others: Float[np.ndarray, "..."]) -> None:
        """Extend the range of the other values."""
        if others.size:
            self.low = float(np.fmin(self.low, np.fmin.reduce(others, axis=None)))
            self.high = float(np.fmax(self.high, np.fmax.reduce(others, axis=None)))

    def _record(self, value: float, equal: np.ndarray) -> None:
        count, first = equal.sum(axis=0), self.times + int(np.flatnonzero(equal.any(axis=(1, 2)))[0])
        if value in self.occurrences:
            count, first = count + self.occurrences[value].count, self.occurrences[value].first
        self.occurrences[value] = Occurrences(count, first)

    @property
    def has_others(self) -> bool:
        """Whether any value is not suspected."""
        return self.low <= self.high

    def is_far(self, value: float) -> bool:
        """Whether a value lies outside the range of the others by more than the width of that range."""
        distance = max(self.low - value, value - self.high)
        return self.has_others and distance > self.high - self.low and not self._is_extreme(value)

    def _is_extreme(self, value: float) -> bool:
        """Whether a value may be the single true extreme that determined the packing."""
        if value in _USUAL or value not in self.packed or self.occurrences[value].count.sum() > 1:
            return False
        lowest, highest = min(self.packed.values()), max(self.packed.values())
        if lowest > 0:  # an unsigned type, whose lowest number is not suspected
            return self.packed[value] == highest
        opposite = {highest: {lowest, lowest + 1}, lowest + 1: {highest}}.get(self.packed[value], set())
        return any(self.packed.get(other) in opposite for other in self.occurrences)

    def is_mask(self, value: float) -> bool:
        """Whether some cell has the value at all times, and it is not data."""
        count = self.occurrences[value].count
        always = count == self.times
        intermittent = np.any((count > 0) & ~always)
        is_data = value in self.packed and (intermittent or always.all())
        return bool(self.times >= MIN_MASK_TIMES and always.any() and not is_data)


# Treat values outside valid_range, valid_min and valid_max as missing (CF conventions, section 2.5.1).
#
# For packed data the bounds are packed numbers; if they are floating-point numbers and the packed data are integers,
# they are in the unpacked units (NetCDF User Guide, attribute conventions).


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


# Merge several versions of the same data in one file, by `expver`: in ERA5 `0001` is final, `0005` preliminary.
#
# `expver` is either a dimension, and a value then usually stands in one version and is NaN in the other; or a
# coordinate of time, and a time may then occur once in each version. The lowest number, the final version, takes
# precedence.


LOG = logging.getLogger(__name__)
EXPVER = "expver"
VERSIONS = "fieldcast_versions"  # attribute: a Choice


class Choice(NamedTuple):
    """Record of which version was taken where several exist."""

    first: str  # date of the first such time
    times: int
    sentence: str


def unique_times(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """Keep the final version of each time that occurs in several; `expver` is a coordinate of time."""
    if EXPVER not in dataset.variables or dataset[EXPVER].dims != ("time",):
        return dataset
    ranks = _ranks(dataset[EXPVER].values)
    times = calendars.iso(dataset["time"])
    best: dict[str, int] = {}
    for i in np.argsort(ranks, kind="stable").tolist():
        best.setdefault(times[i], i)
    chosen = np.sort(np.array(list(best.values()), dtype=int))
    repeated = [time for i, time in enumerate(times) if best[time] != i and ranks[best[time]] != ranks[i]]
    if not repeated or len(chosen) + len(repeated) < len(times):  # some occur twice within one version
        return dataset
    names = _text(dataset[EXPVER].values)
    note = (
        f"{counted(len(repeated), 'time occurs', 'times occur')} in versions {names} (expver), the first "
        f"{min(repeated)}: the lowest, which is final, was taken."
    )
    LOG.warning("%s: %s", where, note)
    choice = {VERSIONS: Choice(min(repeated), len(repeated), note)}
    dataset = dataset.isel(time=chosen)
    return dataset.assign({name: array.assign_attrs(choice) for name, array in dataset.data_vars.items()})


def combine_versions(array: xr.DataArray, where: str) -> xr.DataArray:
    """Take the final version of each value where it exists, else a preliminary one; `expver` is a dimension."""
    if EXPVER not in array.dims:
        return array
    numbers = array[EXPVER].values  # indices, if the dimension has no coordinate
    versions = [array.isel({EXPVER: i}, drop=True) for i in np.argsort(_ranks(numbers), kind="stable")]
    combined = reduce(lambda final, preliminary: final.fillna(preliminary), versions)
    others = [dim for dim in combined.dims if dim != "time"]
    differ = reduce(
        np.logical_or,
        ((version.notnull() & (version != combined)).any(others).values for version in versions[1:]),
        False,
    )
    if np.any(differ):
        first = calendars.date(array["time"][np.flatnonzero(differ)[0]]) if "time" in array.dims else "any"
        note = (
            f"Versions {_text(numbers)} (expver) differ at {counted(int(np.sum(differ)), 'time')}, the first {first}: "
            "the lowest, which is final, was taken."
        )
        LOG.warning("variable '%s' of %s: %s", array.name, where, note)
        combined = combined.assign_attrs({VERSIONS: Choice(first, int(np.sum(differ)), note)})
    return combined


def _ranks(versions: np.ndarray) -> np.ndarray:
    """Sort keys of versions: their numbers; versions without a number come last."""
    texts = [version.decode() if isinstance(version, bytes) else str(version) for version in versions]
    return np.array([float(text) if text.strip().replace(".", "").isdigit() else np.inf for text in texts])


def _text(versions: np.ndarray) -> str:
    texts = {version.decode() if isinstance(version, bytes) else str(version) for version in versions}
    return " and ".join(sorted(texts))


# Carry notes on a variable's values, as attributes, from the reading of its file to the check of its values.


WIDE_ATTR = "fieldcast_wide"  # attribute: 1 if the file's numbers have more digits than single precision
_NOTES = (PACKED_FILLS, VALID, VERSIONS, WIDE_ATTR)


def notes_of(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Select the notes among a variable's attributes."""
    return {key: attrs[key] for key in _NOTES if key in attrs}


def with_notes_of_all(attrs: Sequence[dict[Any, Any]], context: Any = None) -> dict[Any, Any]:
    """Combine the first file's attributes with the notes of all files; for xarray's `combine_attrs`."""
    notes = {key: note for of_file in reversed(attrs) for key, note in notes_of(of_file).items()}
    fills = {value: number for of_file in attrs for value, number in of_file.get(PACKED_FILLS, {}).items()}
    return {**attrs[0], **notes, **({PACKED_FILLS: fills} if fills else {})}
