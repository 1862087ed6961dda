"""Kinds of data that several packages name: fields and images, initial times of forecasts, events."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import numpy as np
import xarray as xr
from jaxtyping import Float, Integer, Shaped

from fieldcast import calendars
from fieldcast.calendars import DAYS_PER_YEAR
from fieldcast.geometry import GRID


def are_images(fields: xr.Dataset) -> bool:
    """Whether ingested fields are images."""
    return state_dimension(fields) == "sample"


def state_dimension(states: xr.Dataset) -> str:
    """The dimension that numbers states: `sample` for images and drawn samples, `time` for fields."""
    return "sample" if "sample" in states.dims else "time"


def class_names(label: xr.DataArray) -> Shaped[np.ndarray, " datum"]:
    """Labels by name where CF's `flag_values` and `flag_meanings` name all of them, else as they are."""
    meanings = [name.replace("_", " ") for name in label.attrs.get("flag_meanings", "").split()]
    names = dict(zip(np.ravel(label.attrs.get("flag_values", ())).tolist(), meanings, strict=False))
    values = label.to_numpy()
    return np.array([names[value] for value in values.tolist()]) if {*values.tolist()} <= {*names} else values


# The initial times of forecasts, as `initial_times.json` stores them.


class InitialTimes(TypedDict):
    """Initial times of all forecasts, which every method shares, with the digest of all that scores depend on."""

    data: str  # digest of the fields
    train: list[str]  # first and last time of the training split
    step_hours: float
    step_months: NotRequired[int]  # number of months of a calendar step
    step_same_day: NotRequired[int]  # 1 if monthly times keep to a day of the month
    scored: list[str]  # initial times
    leads: int  # number of steps of each forecast
    members: int
    stability: list[str]  # initial times of the long rollout
    stability_steps: int
    stability_members: int
    digest: str


# Events: anomalies beyond a climatological quantile of their day of the year and cell.
#
# The event of the quantile p is a value below it where p < 1/2, and a value above it elsewhere, so its climatological
# probability is min(p, 1 - p). Thresholds are anomalies from the climatology on a few days of the year, between which
# they are interpolated linearly; those of monthly data hold for a calendar month.


MONTHS = 12


def is_low(quantile: float) -> bool:
    """Whether the event of a quantile is a value below it."""
    return quantile < 0.5


def probability(quantile: float) -> float:
    """Climatological probability of the event of a quantile."""
    return min(quantile, 1.0 - quantile)


def label(quantile: float) -> str:
    """The event as text: "below 5 %", "above 99 %"."""
    return f"{'below' if is_low(quantile) else 'above'} {100 * quantile:.4g} %"


def thresholds_on(
    thresholds: xr.DataArray, days: Integer[np.ndarray, " time"]
) -> Float[np.ndarray, "quantile time latitude longitude"]:
    """Thresholds of one variable on some days of the year, 1 to 365: anomalies in its units."""
    values = thresholds.transpose("quantile", "dayofyear", *GRID).to_numpy()
    count = values.shape[1]
    if count == MONTHS:
        return values[:, np.searchsorted(calendars.DAYS_BEFORE_MONTH, days, side="left") - 1]
    position = (days - float(thresholds["dayofyear"][0])) % DAYS_PER_YEAR / (DAYS_PER_YEAR / count)
    before = position.astype(int) % count
    share = (position - before).astype(values.dtype)[:, None, None]
    return (1 - share) * values[:, before] + share * values[:, (before + 1) % count]
