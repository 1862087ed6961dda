"""The meaning of the numbers of a variable, by its names, units, declared range and values.

They say which mappings (`fields.quantities`) a variable admits: an angle is a circle, a positive or bounded one has
candidates, of which held-out values choose one, and any other is used as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from jaxtyping import Float

from fieldcast.fields.quantities import KINDS, MAX_VALUES, Circle, Quantity

Meaning = Literal["linear", "positive", "bounded", "angle"]
TEMPERATURE = re.compile(r"temperature|\bsst\b|\bt2m\b", re.I)
TEMPERATURE_UNITS = re.compile(
    r"^(k|kelvin|deg(rees?)?_?\s?(c|celsius|f|fahrenheit|k)|celsius|°\s?[cf])$", re.I
)
ANGLE_UNITS = re.compile(
    r"^(deg(rees?)?(_?t(rue)?)?|degrees? (true|from north|clockwise.*)|°|rad(ians?)?)$", re.I
)
ANGLE = re.compile(
    r"direction|azimuth|heading|bearing|\b(wdir|wd|dir|mwd|winddir|wind_dir|dd)\b|_dir\b|^dir_", re.I
)
BOUNDED = re.compile(
    r"fraction|cover|cloud|probability|ice_?conc|ice[ _].*concentration|siconc|\bsic\b|humidity|saturation|albedo|"
    r"emissivity|reflectance|\b(ci|tcc|lcc|mcc|hcc|ndvi)\b", re.I,
)  # fmt: skip
POSITIVE = re.compile(
    r"chlor|\bchl|precip|rain|snow|hail|speed|gust|mass_concentration|mole_concentration|number_concentration|"
    r"mixing_ratio|specific_humidity|optical_(depth|thickness)|\baod|\baot|thickness|wave.*(height|period)|\bswh\b|"
    r"\b(tp|pr|prcp|ws\d*|wspd|si10|hs|pm10|pm25|pm2p5|no2|o3|so2|par|kd_?490)\b|evapo|runoff|discharge|"
    r"streamflow|radiation|downwelling|concentration|turbidity|radiance|pollen|_amount\b|rate\b|visibility",
    re.I,
)  # fmt: skip
POSITIVE_UNITS = re.compile(
    r"^\s*((m|u|µ|n|k)?(g|mol)(l|es)?|counts?)\s?(m-3|/m3|/m\^3|m\^-3|l-1|/l|cm-3|\*\*-?3)", re.I
)
SHARE_AT_ZERO = 0.01  # share of the values that are exactly 0 above which 0 is a bound, whatever the name


@dataclass(frozen=True)
class Nature:
    """Meaning of the numbers of a variable.

    Parameters
    ----------
    meaning
        Linear, positive, bounded on both sides, or an angle.
    low, high
        Ends of the valid range.
    known
        Whether 0 is physical by name, units or declared range, and not by the values alone.
    period
        Length of the circle of an angle.
    """

    meaning: Meaning
    low: float = -np.inf
    high: float = np.inf
    known: bool = True
    period: float = 360.0

    @property
    def candidates(self) -> tuple[str, ...]:
        """Mappings to try, the simplest first."""
        if self.meaning == "positive":
            return ("root", "log", "quantiles") if self.known else ("quantiles",)
        return ("quantiles",) if self.meaning == "bounded" else ()

    def fit(self, kind: str, values: Float[np.ndarray, " n"]) -> Quantity:
        """The mapping of a kind for values without NaN."""
        if kind == Circle.kind:
            return Circle.fit_to(values, self.low, self.period)
        return KINDS[kind].fit(values, (self.low, self.high))


def nature_of(array: xr.DataArray, values: Float[np.ndarray, " n"]) -> Nature:
    """Meaning of the numbers of a variable; `values` are those that are not missing."""
    attrs = array.attrs
    units = str(attrs.get("units", "")).strip()
    names = names_of(array)
    least, largest = (float(values.min()), float(values.max())) if values.size else (np.nan, np.nan)
    low, high = (float(attrs.get(key, end)) for key, end in (("valid_min", -np.inf), ("valid_max", np.inf)))
    if circle := circle_of(array):
        # values that a file declares or that occur say where its circle begins
        return Nature("angle", low=-circle.period / 2 if least < 0 else 0.0, period=circle.period)
    if TEMPERATURE_UNITS.match(units) or (TEMPERATURE.search(names) and not POSITIVE_UNITS.match(units)):
        return Nature("linear", low, high)
    percent = units in ("%", "percent")
    share = percent or units in ("", "1", "fraction", "(0 - 1)", "(0-1)")
    whole = 100.0 if percent or largest > 1 else 1.0
    declared = low == 0 and high in (1.0, 100.0)
    if least >= 0 and largest <= whole and (declared or (share and BOUNDED.search(names))):
        return Nature("bounded", max(low, 0.0), min(high, whole))
    physical = 0 <= low <= 0.1 * float(np.median(values)) if values.size else False
    named = bool(POSITIVE.search(names) or POSITIVE_UNITS.match(units))
    if least >= 0 and (named or physical):
        return Nature("positive", max(low, 0.0), high)
    if least == 0 and float((values == 0).mean()) > SHARE_AT_ZERO:
        return Nature("positive", max(low, 0.0), high, known=False)
    return Nature("linear", low, high)


def names_of(array: xr.DataArray) -> str:
    """The names of a variable, of which some say what its numbers mean."""
    return " ".join(
        str(x) for x in (array.name, array.attrs.get("standard_name", ""), array.attrs.get("long_name", ""))
    )


def circle_of(array: xr.DataArray) -> Circle | None:
    """The circle of a variable that is an angle by its names and units."""
    units = str(array.attrs.get("units", "")).strip()
    if ANGLE.search(names_of(array)) and ANGLE_UNITS.match(units):
        return Circle(period=period_of(array.attrs))
    return None


def sampled_values(array: xr.DataArray) -> Float[np.ndarray, " n"]:
    """The values that are not missing; of a large array those of evenly spaced times, with the smallest and largest."""
    every = -(-array.size // MAX_VALUES)
    values = array.isel({array.dims[0]: slice(None, None, every)}).values
    values = values[np.isfinite(values)]
    return values if every == 1 else np.append(values, np.array([array.min(), array.max()], values.dtype))


def period_of(attrs: Mapping[str, Any]) -> float:
    """Length of the circle of an angle in its units."""
    return 2 * np.pi if str(attrs.get("units", "")).strip().lower().startswith("rad") else 360.0
