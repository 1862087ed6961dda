"""Conversions between units of measure, as UDUNITS-2 defines them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xarray as xr
from cf_units import Unit, suppress_errors

Values = TypeVar("Values", np.ndarray, xr.DataArray)


@dataclass(frozen=True)
class Conversion:
    """y = scale x + offset, from a value x in one unit to a value y in another; a difference has no offset."""

    scale: float = 1.0
    offset: float = 0.0

    def of(self, x: Values) -> Values:
        """Convert values x to y; returns x itself if the units are equal."""
        return x if self == Conversion() else x * self.scale + self.offset

    @property
    def inverse(self) -> Conversion:
        """The conversion from y to x."""
        return Conversion(1 / self.scale, -self.offset / self.scale)


def conversion(units: str, target: str) -> Conversion | None:
    """The conversion from `units` to `target`; None if there is none, or none by a scale and an offset (dBZ)."""
    if units == target:
        return Conversion()
    try:
        with suppress_errors():
            ends = Unit(units), Unit(target)
            if not ends[0].is_convertible(ends[1]):
                return None
            at_0, at_1, at_2 = (float(ends[0].convert(value, ends[1])) for value in (0.0, 1.0, 2.0))
    except ValueError:  # unknown to UDUNITS
        return None
    linear = abs(at_2 - 2 * at_1 + at_0) <= 1e-9 * max(abs(at_0), abs(at_1), abs(at_2))
    return Conversion(at_1 - at_0, at_0) if linear else None
