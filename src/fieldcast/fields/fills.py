"""Detect undeclared fill values: which values are suspected, and when a suspected value is not data.

A suspected value is rejected if it lies outside the range of all other values by more than the width of that range, or
if a cell has it at all times, as in a land mask. Otherwise, and if there are no other values, it counts as data.

The suspects are the common fill values below. If packed data declare no fill value, the suspects include the same
values as packed numbers, and the lowest and highest number of the packed type. Packing often uses the whole type, so
that the lowest number is an ordinary zero of precipitation or sea ice: a cell that has it at all times then counts as
masked only if no cell has it at some times but not others, and some cell has other values. Such packing also maps a
single true extreme to the highest number of the type, or to the second lowest: one such value is data if the data also
reach the other end of the type. The lowest number gets no such exemption, since it is the usual fill value of packed
data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from fieldcast.fields.packing import declares_missing, is_packed, packed_type, unpacked

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
