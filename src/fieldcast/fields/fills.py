"""Fill values that a file does not declare: which values are suspected, and when they are no data.

A suspected value is refused where it lies outside the range of all other values by more than the width of that range,
or stands at all times of a cell, as a land mask does. Anywhere else, and where no other value is known, it is data.

Suspected are the usual fill values below; of packed data that declare none also those among the packed numbers, with
the lowest and highest of their type. Packed numbers are often scaled to use the whole type, so that the lowest is a
plain zero of precipitation or sea ice: at all times of a cell it is a mask only if no cell takes it at some times, and
some cell takes other values. Such packing also gives the highest number of the type, or the lowest but one, to a single
true extreme: a single value there is data if the type is used to its other end, too. The lowest of all is never spared,
since it is the usual fill value of packed data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from fieldcast.fields.packing import declares_missing, is_packed, packed_type, unpacked

PACKED_FILLS = "fieldcast_packed_fills"  # attribute: {value in the array's units: the packed number}
LASTING = 30  # times: in fewer a value may stay the same by chance
_WHOLE = (
    *(-99, -999, -9999, -99999, -999999, 999, 9999, 99999, 999999),
    *(32767, -32767, -32768, 65535, 2147483647, -2147483647, -2147483648, -999000000),
)  # fmt: skip
_USUAL = (*map(float, _WHOLE), -99.9, -999.9, 1e15, 1e20, -1e20)


def with_packed_fills(array: xr.DataArray) -> xr.DataArray:
    """With the attribute PACKED_FILLS where the array was packed without a declared fill value."""
    if not is_packed(array) or declares_missing(array):
        return array
    dtype = packed_type(array)
    limits = np.iinfo(dtype)
    ends = {limits.max, *({limits.min, limits.min + 1} if dtype.kind == "i" else ())}
    numbers = np.array(sorted({*(n for n in _WHOLE if limits.min <= n <= limits.max), *ends}))
    fills = dict(zip(unpacked(numbers, array).tolist(), numbers.tolist(), strict=True))
    return array.assign_attrs({PACKED_FILLS: fills})


class Sighting(NamedTuple):
    """Where a suspected value stands."""

    count: Int[np.ndarray, "y x"]
    first: int  # time


class Search:
    """Counts suspected values in blocks of time, and the range of all others."""

    def __init__(self, array: xr.DataArray):
        self.packed: Mapping[float, int] = {
            float(np.float32(value)): number for value, number in array.attrs.get(PACKED_FILLS, {}).items()
        }
        self.suspects = sorted({*(float(np.float32(value)) for value in _USUAL), *self.packed})
        self.sightings: dict[float, Sighting] = {}
        self.low, self.high = np.inf, -np.inf
        self.times = 0

    def add(self, x: Float[np.ndarray, "time y x"]) -> None:
        """The next block."""
        low, high = np.fmin.reduce(x, axis=None), np.fmax.reduce(x, axis=None)
        other = np.ones(x.shape, dtype=bool)
        for value in (value for value in self.suspects if low <= value <= high):
            hit = x == value
            if hit.any():
                other &= ~hit
                self._sight(value, hit)
        self.widen(x if other.all() else x[other])
        self.times += len(x)

    def widen(self, others: Float[np.ndarray, "..."]) -> None:
        """Values that are no suspects."""
        if others.size:
            self.low = float(np.fmin(self.low, np.fmin.reduce(others, axis=None)))
            self.high = float(np.fmax(self.high, np.fmax.reduce(others, axis=None)))

    def _sight(self, value: float, hit: np.ndarray) -> None:
        count, first = hit.sum(axis=0), self.times + int(np.flatnonzero(hit.any(axis=(1, 2)))[0])
        if value in self.sightings:
            count, first = count + self.sightings[value].count, self.sightings[value].first
        self.sightings[value] = Sighting(count, first)

    @property
    def knows_others(self) -> bool:
        """Whether there are values that are no suspects."""
        return self.low <= self.high

    def is_far(self, value: float) -> bool:
        """Whether a value lies outside the range of the others by more than its width."""
        distance = max(self.low - value, value - self.high)
        return self.knows_others and distance > self.high - self.low and not self._is_extreme(value)

    def _is_extreme(self, value: float) -> bool:
        """Whether a value may be the single true extreme from which the packing was chosen."""
        if value in _USUAL or value not in self.packed or self.sightings[value].count.sum() > 1:
            return False
        lowest, highest = min(self.packed.values()), max(self.packed.values())
        if lowest > 0:  # of a type without sign, whose lowest number is not suspected
            return self.packed[value] == highest
        opposite = {highest: {lowest, lowest + 1}, lowest + 1: {highest}}.get(self.packed[value], set())
        return any(self.packed.get(other) in opposite for other in self.sightings)

    def is_mask(self, value: float) -> bool:
        """Whether a value stands at all times of a cell."""
        count = self.sightings[value].count
        always = count == self.times
        comes_and_goes = np.any((count > 0) & ~always)
        is_data = value in self.packed and (comes_and_goes or always.all())
        return bool(self.times >= LASTING and always.any() and not is_data)
