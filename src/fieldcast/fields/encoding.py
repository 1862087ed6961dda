"""Encodings of the values of a file, each described once; undeclared fill values; versions of the same data."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from fieldcast import calendars
from fieldcast.errors import counted

LOG = logging.getLogger(__name__)
ENCODING = "fieldcast_encoding"  # attribute: a variable's Encoding, from the reading of its file to the check of values
EXPVER = "expver"  # coordinate or dimension that numbers versions of the same data
MIN_MASK_TIMES = 30  # smallest number of times for a mask: over fewer, a value may persist by chance
_SCALING = ("scale_factor", "add_offset")
_WHOLE = (
    *(-99, -999, -9999, -99999, -999999, 999, 9999, 99999, 999999),
    *(32767, -32767, -32768, 65535, 2147483647, -2147483647, -2147483648, -999000000),
)  # fmt: skip
_USUAL = (*map(float, _WHOLE), -99.9, -999.9, 1e15, 1e20, -1e20)


class Choice(NamedTuple):
    """Record of which version was taken where several exist."""

    first: str  # date of the first such time
    times: int
    sentence: str


@dataclass(frozen=True)
class Encoding:
    """Encoding of a variable's values in its file.

    Parameters
    ----------
    valid
        Lowest and highest valid value in the units of the array; None if the file declares no range.
    fills
        Packed numbers that may be undeclared fill values, by their values in the units of the array.
    wide
        Whether the file's numbers have more digits than single precision.
    versions
        Which version was taken, if several differ.
    room
        Distance from the valid range up to which a value is valid: half a step of packed data.
    codes
        Values that `flag_values` names, such as land or a pole hole, and which are no measurements.
    category
        Whether the variable holds flags (`flag_masks`, or `flag_values` that name all values) or other categories.
    """

    valid: tuple[float, float] | None = None
    fills: Mapping[float, int] = field(default_factory=dict)
    wide: bool = False
    versions: Choice | None = None
    room: float = 0.0
    codes: tuple[float, ...] = ()
    category: bool = False

    @classmethod
    def of(cls, array: xr.DataArray) -> Encoding:
        """The encoding in an array's attributes; empty for data that were not read by `to_contract`."""
        return array.attrs.get(ENCODING, cls())

    def masked(self, array: xr.DataArray) -> xr.DataArray:
        """Replace codes, and values outside the valid range, by NaN; lazy if the array is."""
        if self.codes:
            array = array.where(~array.isin(np.asarray(self.codes).astype(array.dtype)))
        if self.valid is None:
            return array
        low, high = self.valid[0] - self.room, self.valid[1] + self.room
        return array.where((array >= low) & (array <= high))


def declared_encoding(array: xr.DataArray) -> Encoding:
    """The encoding that a file declares for a variable, as xarray opened it."""
    packed, (values, masks, _) = is_packed(array), flags_of(array)
    undeclared = packed and all(array.encoding.get(key) is None for key in ("_FillValue", "missing_value"))
    valid = _valid_range(array, packed)
    named = values if not masks.size else values[:0]
    beside = bool(named.size) and not packed and _has_other_values(array, named)
    return Encoding(
        valid,
        _possible_fills(array) if undeclared else {},
        array.dtype.itemsize > (4 if array.dtype.kind == "f" else 2),
        room=abs(float(array.encoding.get("scale_factor", 1.0))) / 2 if packed else 0.0,
        codes=_codes(array, named, packed, valid) if packed or beside else (),
        category=not packed and (bool(masks.size) or _is_category(array, named, beside, valid)),
    )


def join_encodings(attrs: Sequence[dict[Any, Any]], context: Any = None) -> dict[Any, Any]:
    """Combine the first file's attributes with the encodings of all files, for xarray's `combine_attrs`."""
    encodings = [of_file[ENCODING] for of_file in attrs if ENCODING in of_file]
    if not encodings:
        return attrs[0]
    joined = Encoding(
        next((encoding.valid for encoding in encodings if encoding.valid), None),
        {value: number for encoding in encodings for value, number in encoding.fills.items()},
        any(encoding.wide for encoding in encodings),
        next((encoding.versions for encoding in encodings if encoding.versions), None),
        next((encoding.room for encoding in encodings if encoding.valid), 0.0),
        tuple(sorted({code for encoding in encodings for code in encoding.codes})),
    )
    return attrs[0] | {ENCODING: joined}


def is_packed(array: xr.DataArray) -> bool:
    """Whether the file holds integers, to be multiplied by `scale_factor`, plus `add_offset` (CF, section 8.1)."""
    packed = any(key in array.encoding for key in _SCALING)
    return packed and np.dtype(array.encoding.get("dtype", float)).kind in "iu"


def flags_of(array: xr.DataArray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """`flag_values`, `flag_masks` and `flag_meanings` of a variable (CF, section 3.5); empty where it has none.

    Numbers as a text, such as "0b, 1b", are read, too.
    """
    numbers = []
    for key in ("flag_values", "flag_masks"):
        values = np.ravel(array.attrs.get(key, []))
        if values.dtype.kind in "USO":
            texts = re.findall(r"[-+]?\d+\.?\d*", " ".join(map(str, values)))
            values = np.array([float(text) for text in texts])
        numbers.append(values if values.dtype.kind in "fiu" else np.empty(0))
    meanings = re.split(r"[\s,]+", str(array.attrs.get("flag_meanings", "")).strip(" ,"))
    return *numbers, [meaning for meaning in meanings if meaning]


DURATIONS = (
    "s",
    *(f"{unit}{plural}" for unit in ("second", "minute", "hour", "day") for plural in ("", "s")),
)


def is_time_difference(array: xr.DataArray) -> bool:
    """Whether a variable holds differences of times, such as the lag of an observation, which xarray may decode."""
    if array.dtype.kind == "m" or str(array.attrs.get("dtype", "")).startswith("timedelta64"):
        return True
    names = f"{array.name} {array.attrs.get('long_name', '')} {array.attrs.get('standard_name', '')}"
    in_time = str(array.attrs.get("units", "")).lower() in DURATIONS
    return (
        in_time and re.search(r"dtime|time[ _](difference|since|lag|delta|offset)", names.lower()) is not None
    )


def _codes(
    array: xr.DataArray, values: np.ndarray, packed: bool, valid: tuple[float, float] | None
) -> tuple[float, ...]:
    """Values named in `flag_values`, in the units of the array, without those inside a declared valid range."""
    if packed and np.all(values == np.round(values)):
        values = _unpacked(values.astype(np.int64), array)
    if valid is not None:
        values = values[(values < valid[0]) | (values > valid[1])]
    return tuple(map(float, values))


def _is_category(
    array: xr.DataArray, values: np.ndarray, beside: bool, valid: tuple[float, float] | None
) -> bool:
    """Whether numbers that are not packed are categories; `beside` says that there are others than `flag_values`.

    Flags have `flag_values` that name all their values. Integers are categories if they have neither units nor a
    standard name. A quantity may have flag values as well: beyond its valid range, or, if it has a unit or a standard
    name of a quantity, beside its numbers.
    """
    integers = np.dtype(array.encoding.get("dtype", array.dtype)).kind in "iu"
    units, name = (str(array.attrs.get(key) or "").strip() for key in ("units", "standard_name"))
    if not values.size:
        return integers and not (units or name)
    if not integers:
        return not beside
    if valid is not None:
        return bool(((values >= valid[0]) & (values <= valid[1])).all())
    measured = units not in ("", "1") or (name and not re.search("flag|status|quality|mask", name))
    return not (measured and beside)


def _has_other_values(array: xr.DataArray, values: np.ndarray) -> bool:
    """Whether the first times hold numbers that `values` does not name."""
    first = array.isel({dim: slice(3) for dim in array.dims[:-2]}).values
    return bool((np.isfinite(first) & ~np.isin(first, values.astype(array.dtype))).any())


def misfit(attributes: Mapping[Any, Any], name: str, where: str) -> str | None:
    """Sentence on an attribute by which a variable is unpacked and that is no number; None if there is none."""
    for key in _SCALING:
        value = np.asarray(attributes.get(key, 1.0))
        if value.dtype.kind not in "fiu" or value.size != 1:
            kind = f"the text '{value}'" if value.dtype.kind in "US" else f"{value.tolist()}"
            return f"the attribute {key} of '{name}' in {where} is {kind}: make it a number"
    return None


def _unpacked(numbers: np.ndarray, array: xr.DataArray) -> Float[np.ndarray, " numbers"]:
    """Unpack numbers with the same arithmetic as the array, so that equal numbers give equal values.

    Numbers beyond the range of the packed type are clipped to it.
    """
    dtype = np.dtype(array.encoding["dtype"])
    if array.encoding.get("_Unsigned") != "true":
        numbers = np.clip(numbers, np.iinfo(dtype).min, np.iinfo(dtype).max)
    attrs = {key: array.encoding[key] for key in (*_SCALING, "_Unsigned") if key in array.encoding}
    packed = xr.Dataset({"x": ("x", np.asarray(numbers).astype(dtype), attrs)})
    return np.asarray(xr.decode_cf(packed)["x"].values, dtype=float)


def _valid_range(array: xr.DataArray, packed: bool) -> tuple[float, float] | None:
    """Lowest and highest valid value in the units of the array (CF, section 2.5.1); None if neither is declared.

    Bounds of packed data are packed numbers; bounds that are not integers are in the unpacked units (NetCDF User Guide,
    attribute conventions).
    """
    bounds, in_packed_units = [], False
    for key in ("valid_range", "valid_min", "valid_max"):
        numbers = np.ravel(array.attrs.get(key, []))
        if packed and numbers.dtype.kind in "iu":
            numbers, in_packed_units = _unpacked(numbers, array), True
        bounds.append(numbers.astype(float) if numbers.dtype.kind in "fiu" else np.empty(0))
    both, least, largest = bounds
    low, high = both if both.size == 2 else (x[0] if x.size == 1 else np.nan for x in (least, largest))
    if in_packed_units and float(array.encoding.get("scale_factor", 1.0)) < 0:
        low, high = high, low
    low, high = (bound if np.isfinite(bound) else end for bound, end in ((low, -np.inf), (high, np.inf)))
    if array.dtype.kind == "f":  # round the bounds as the values were rounded
        with np.errstate(over="ignore"):
            low, high = (array.dtype.type(bound) for bound in (low, high))
    return None if np.isinf(low) and np.isinf(high) else (float(low), float(high))


def _possible_fills(array: xr.DataArray) -> dict[float, int]:
    """Packed numbers that may be fill values, as the array does not declare any, by their unpacked values."""
    dtype = np.dtype(array.encoding["dtype"])
    if array.encoding.get("_Unsigned") == "true":  # the format itself has no unsigned types
        dtype = np.dtype(f"u{dtype.itemsize}")
    limits = np.iinfo(dtype)
    ends = {limits.max, *({limits.min, limits.min + 1} if dtype.kind == "i" else ())}
    numbers = np.array(sorted({*(n for n in _WHOLE if limits.min <= n <= limits.max), *ends}))
    return dict(zip(_unpacked(numbers, array).tolist(), numbers.tolist(), strict=True))


# Detect undeclared fill values: which values are suspected, and when a suspected value is not data.
#
# A suspected value is rejected if it lies outside the range of all other values by more than the width of that range,
# or if a cell has it at all times, as in a land mask. Otherwise, and if there are no other values, it counts as data.
#
# The suspects are the common fill values above. If packed data declare no fill value, the suspects include the same
# values as packed numbers, and the lowest and highest number of the packed type. Packing often uses the whole type,
# so that the lowest number is an ordinary zero of precipitation or sea ice: a cell that has it at all times then
# counts as masked only if no cell has it at some times but not others, and some cell has other values. Such packing
# also maps a single true extreme to the highest number of the type, or to the second lowest: one such value is data
# if the data also reach the other end of the type. The lowest number gets no such exemption, since it is the usual
# fill value of packed data.


class Occurrences(NamedTuple):
    """Occurrences of a suspected value."""

    count: Int[np.ndarray, "y x"]
    first: int  # index of the first time


class Search:
    """Count suspected values block by block, and track the range of all other values; `more` are suspects as well."""

    def __init__(self, array: xr.DataArray, more: Sequence[float] = ()):
        self.encoding = Encoding.of(array)
        self.packed = {float(np.float32(value)): number for value, number in self.encoding.fills.items()}
        self.suspects = sorted({*(float(np.float32(value)) for value in (*_USUAL, *more)), *self.packed})
        self.occurrences: dict[float, Occurrences] = {}
        self.low, self.high = np.inf, -np.inf
        self.times = 0

    def add(self, x: Float[np.ndarray, "time y x"]) -> None:
        """Add the next block of times."""
        low, high = np.fmin.reduce(x, axis=None), np.fmax.reduce(x, axis=None)
        other = np.ones(x.shape, dtype=bool)
        for value in (value for value in self.suspects if low <= value <= high):
            equal = x == value
            if not equal.any():
                continue
            other &= ~equal
            count, first = equal.sum(axis=0), self.times + int(np.flatnonzero(equal.any(axis=(1, 2)))[0])
            if value in self.occurrences:
                count, first = count + self.occurrences[value].count, self.occurrences[value].first
            self.occurrences[value] = Occurrences(count, first)
        self.widen(x if other.all() else x[other])
        self.times += len(x)

    def widen(self, others: Float[np.ndarray, "..."]) -> None:
        """Extend the range of the other values."""
        if others.size:
            self.low = float(np.fmin(self.low, np.fmin.reduce(others, axis=None)))
            self.high = float(np.fmax(self.high, np.fmax.reduce(others, axis=None)))

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


# Merge several versions of the same data in one file, by `expver`: in ERA5 `0001` is final, `0005` preliminary.
#
# `expver` is either a dimension, and a value then usually stands in one version and is NaN in the other; or a
# coordinate of time, and a time may then occur once in each version. The lowest number, the final version, takes
# precedence.


def unique_times(dataset: xr.Dataset, where: str) -> tuple[xr.Dataset, Choice | None]:
    """Keep the final version of each time that occurs in several; `expver` is a coordinate of time."""
    if EXPVER not in dataset.variables or dataset[EXPVER].dims != ("time",):
        return dataset, None
    ranks = _ranks(dataset[EXPVER].values)
    times = calendars.iso(dataset["time"])
    best: dict[str, int] = {}
    for i in np.argsort(ranks, kind="stable").tolist():
        best.setdefault(times[i], i)
    kept = np.sort(np.array(list(best.values()), dtype=int))
    repeated = [time for i, time in enumerate(times) if best[time] != i and ranks[best[time]] != ranks[i]]
    if not repeated or len(kept) + len(repeated) < len(times):  # some occur twice within one version
        return dataset, None
    names = " and ".join(sorted(set(_texts(dataset[EXPVER].values))))
    note = (
        f"{counted(len(repeated), 'time occurs', 'times occur')} in versions {names} (expver), the first "
        f"{min(repeated)}: the lowest, which is final, was taken."
    )
    LOG.warning("%s: %s", where, note)
    return dataset.isel(time=kept), Choice(min(repeated), len(repeated), note)


def combine_versions(array: xr.DataArray, where: str) -> tuple[xr.DataArray, Choice | None]:
    """Take the final version of each value where it exists, else a preliminary one; `expver` is a dimension."""
    if EXPVER not in array.dims:
        return array, None
    numbers = array[EXPVER].values  # indices, if the dimension has no coordinate
    versions = [array.isel({EXPVER: i}, drop=True) for i in np.argsort(_ranks(numbers), kind="stable")]
    combined = reduce(lambda final, preliminary: final.fillna(preliminary), versions)
    others = [dim for dim in combined.dims if dim != "time"]
    differ = reduce(
        np.logical_or,
        ((version.notnull() & (version != combined)).any(others).values for version in versions[1:]),
        False,
    )
    if not np.any(differ):
        return combined, None
    first = calendars.date(array["time"][np.flatnonzero(differ)[0]]) if "time" in array.dims else "any"
    note = (
        f"Versions {' and '.join(sorted(set(_texts(numbers))))} (expver) differ at "
        f"{counted(int(np.sum(differ)), 'time')}, the first {first}: the lowest, which is final, was taken."
    )
    LOG.warning("variable '%s' of %s: %s", array.name, where, note)
    return combined, Choice(first, int(np.sum(differ)), note)


def _texts(versions: np.ndarray) -> list[str]:
    return [version.decode() if isinstance(version, bytes) else str(version) for version in versions]


def _ranks(versions: np.ndarray) -> np.ndarray:
    """Sort keys of versions: their numbers; versions without a number come last."""
    texts = _texts(versions)
    return np.array([float(text) if text.strip().replace(".", "").isdigit() else np.inf for text in texts])
