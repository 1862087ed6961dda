"""Conversions between units of measure, as UDUNITS-2 defines them."""

from __future__ import annotations

from dataclasses import dataclass

from cf_units import Unit, suppress_errors


@dataclass(frozen=True)
class Conversion:
    """y = scale x + offset, from a value x in one unit to a value y in another; a difference has no offset."""

    scale: float = 1.0
    offset: float = 0.0


def conversion(units: str, target: str) -> Conversion | None:
    """The conversion from `units` to `target`; None if there is none, or none by a scale and an offset (dBZ)."""
    if units == target:
        return Conversion()
    try:
        with suppress_errors():
            ends = Unit(units), Unit(target)
            if not ends[0].is_convertible(ends[1]):
                return None
            zero, one, two = (float(ends[0].convert(value, ends[1])) for value in (0.0, 1.0, 2.0))
    except ValueError:  # unknown to UDUNITS
        return None
    linear = abs(two - 2 * one + zero) <= 1e-9 * max(abs(zero), abs(one), abs(two))
    return Conversion(one - zero, zero) if linear else None
