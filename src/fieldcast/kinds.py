"""Kinds of data that several packages name: draws and their layout, initial times of forecasts, events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np
import xarray as xr
from jaxtyping import Float, Integer, Shaped

from fieldcast import calendars
from fieldcast.calendars import DAYS_PER_YEAR
from fieldcast.errors import InputError
from fieldcast.geometry import GRID

# The layout of draws, and of the observations that they are drawn from: a dimension is renamed here and in `append` of
# the catalog, and their order is changed here. Whoever makes draws names the dimensions of their arrays.
CASE, LEAD, MEMBER, SAMPLE = "case", "lead", "member", "sample"
START = "start"  # initial time of a forecast
STATE = "state"  # background or analysis
STEP = "step"  # number of a step of a long rollout
LAYOUTS: Mapping[str, tuple[str, ...]] = {
    "observations": (CASE, "time", *GRID),
    "members": ("time", MEMBER, *GRID),
    "reconstructions": (CASE, "time", MEMBER, *GRID),
    "analyses": (STATE, CASE, "time", MEMBER, *GRID),
    "forecasts": (LEAD, START, MEMBER, *GRID),
    "snapshots": (STEP, START, MEMBER, *GRID),
    "samples": (SAMPLE, *GRID),
    "images": (SAMPLE, "y", "x"),
}
CF = {
    MEMBER: {"standard_name": "realization", "units": "1"},
    START: {"standard_name": "forecast_reference_time"},
}


def as_draws(kind: str, data: xr.Dataset) -> xr.Dataset:
    """The data set with its dimensions in the order of a kind."""
    return data.transpose(*LAYOUTS[kind])


class Observations:
    """Contract of `observations`: (case, time, latitude, longitude), NaN where not observed, numbered masks."""

    def validate(self, data: Any) -> xr.Dataset:
        """Return the data unchanged; raise InputError with one sentence for the first rule that they break."""
        remedy = "recreate them"
        require_layout(data, "observations", remedy)
        for name in ("pattern", "k", "mask"):
            if name not in data.coords:
                raise InputError(f"observations have no coordinate '{name}': {remedy}")
        if not np.all((data["k"].values > 0) & (data["k"].values <= 1)):
            raise InputError(f"observations have a fraction k outside 0 to 1: {remedy}")
        require_attributes(data, "observations", ("digest", "noise", "seed"), remedy)
        return data


def require_layout(data: Any, kind: str, remedy: str) -> None:
    """Raise an InputError unless a data set has the dimensions of a kind, and float32 variables with units."""
    require_axes(data, LAYOUTS[kind], remedy)
    for name, array in data.data_vars.items():
        if array.dims != LAYOUTS[kind]:
            actual, expected = _tuple(array.dims), _tuple(LAYOUTS[kind])
            raise InputError(f"variable '{name}' of {kind} has dimensions {actual}, not {expected}: {remedy}")
        require_variable(array, remedy)


def require_axes(data: Any, dims: tuple[str, ...], remedy: str) -> None:
    """Raise an InputError unless a data set has these dimensions, those of a grid ascending in degrees."""
    if not isinstance(data, xr.Dataset):
        raise InputError(f"a Dataset was expected, not {type(data).__name__}: return one from the node")
    for name in dims:
        if name not in data.dims:
            raise InputError(f"the dimension '{name}' is missing; {_tuple(dims)} are needed: {remedy}")
    for name, units in {"latitude": "degrees_north", "longitude": "degrees_east"}.items():
        if name not in dims:
            continue
        if name not in data.coords or not np.all(np.diff(data[name].values) > 0):
            raise InputError(f"the coordinate '{name}' is not strictly ascending: {remedy}")
        if data[name].attrs.get("units") != units:
            raise InputError(f"the coordinate '{name}' does not have the units '{units}': {remedy}")
    for name in {"time", START} & {*dims}:
        if data[name].size and not calendars.is_dates(data[name]):  # an empty piece has no dates
            raise InputError(f"the coordinate '{name}' does not hold dates: {remedy}")


def require_attributes(data: xr.Dataset, kind: str, keys: Iterable[str], remedy: str) -> None:
    """Raise an InputError unless a data set has these attributes; `kind` is what it holds, as "fields"."""
    for key in keys:
        if key not in data.attrs:
            raise InputError(f"{kind} have no attribute '{key}': {remedy}")


def require_variable(array: xr.DataArray, remedy: str) -> None:
    """Raise an InputError unless a variable is float32 and has units."""
    if array.dtype != np.float32:
        raise InputError(f"variable '{array.name}' is {array.dtype}, not float32: {remedy}")
    if not str(array.attrs.get("units", "")).strip():
        raise InputError(f"variable '{array.name}' has no units: {remedy}")


def _tuple(dims: tuple) -> str:
    return f"({', '.join(map(str, dims))})"


def are_images(fields: xr.Dataset) -> bool:
    """Whether ingested fields are images."""
    return state_dimension(fields) == SAMPLE


def state_dimension(states: xr.Dataset) -> str:
    """The dimension that numbers states: `sample` for images and drawn samples, `time` for fields."""
    return SAMPLE if SAMPLE in states.dims else "time"


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
