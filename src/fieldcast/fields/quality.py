"""Quality control of values: one pass over each variable, then what is refused, allowed, or fine.

Looks for NaN (at some times or at all), Inf, constant fields, and units that change midway. `docs/data.md` holds the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int

from fieldcast.errors import InputError
from fieldcast.fields import calendars, grid
from fieldcast.fields.blocks import blocks
from fieldcast.fields.layout import static, time_varying
from fieldcast.fields.mending import Finding

HUGE = 1e30  # no weather variable comes near; a fill value that is not declared (9.97e36) does
COLUMNS = list(Finding._fields)


@dataclass(frozen=True)
class Survey:
    """What one pass over a variable tells."""

    missing: Int[np.ndarray, "y x"]  # how often a cell has no value
    first_missing: int  # the first time at which a cell that has values at other times has none
    infinite: Int[np.ndarray, " time"]  # Inf or huge values at each time
    mean: Float[np.ndarray, " time"]  # area mean
    spread: Float[np.ndarray, " time"]  # area standard deviation
    varies: Bool[np.ndarray, "y x"]  # whether the cell changes in time


def table(findings: list[Finding]) -> pd.DataFrame:
    """The quality table: check, variable, where, count, action, sentence."""
    return pd.DataFrame(findings, columns=COLUMNS)


def inspect(dataset: xr.Dataset, where: str) -> tuple[xr.Dataset, list[Finding]]:
    """Refuses values that nothing can be learned from; leaves out static variables that are of no use.

    `dataset` is mended (it has `segment`). Raises InputError, naming the variable, date and place.
    """
    findings: list[Finding] = []
    for name in time_varying(dataset):
        _check_units(dataset[name], where)
        survey = _survey(dataset[name])
        findings += _check(dataset[name], survey, where)
        findings.append(_check_jumps(dataset[name], survey, where))
    for name in static(dataset):
        values = dataset[name].values
        if not np.all(np.abs(values) < HUGE) or not dataset[name].attrs.get("units"):
            dataset = dataset.drop_vars(name)
            sentence = f"Static variable '{name}' has missing values or no units: left out."
            findings.append(Finding("static", name, "", 1, "mended", sentence))
    return dataset, findings


def _check_units(array: xr.DataArray, where: str) -> None:
    if not str(array.attrs.get("units", "")).strip():
        raise InputError(
            f"variable '{array.name}' of {where} has no units: add the attribute 'units' ('1' if it has none)"
        )


def _survey(array: xr.DataArray) -> Survey:
    shape = (array.sizes["latitude"], array.sizes["longitude"])
    area = grid.cell_areas(array["latitude"], array["longitude"])
    missing, low, high = np.zeros(shape, dtype=np.int64), np.full(shape, np.inf), np.full(shape, -np.inf)
    gaps, infinite, mean, spread = [], [], [], []
    for _, x in blocks(array):
        nan = np.isnan(x)
        huge = np.abs(x) >= HUGE
        missing += nan.sum(axis=0)
        gaps.append(nan.reshape(len(x), -1).sum(axis=1))
        infinite.append(huge.sum(axis=(1, 2)))
        known = ~(nan | huge)
        low = np.minimum(low, np.where(known, x, np.inf).min(axis=0))
        high = np.maximum(high, np.where(known, x, -np.inf).max(axis=0))
        m, s = _area_statistics(x, known, area)
        mean.append(m)
        spread.append(s)
    count = np.concatenate(gaps)
    scattered = np.flatnonzero(count != count.min())
    first = int(np.flatnonzero(count > count.min())[0]) if scattered.size else -1
    joined = [np.concatenate(parts) for parts in (infinite, mean, spread)]
    return Survey(missing, first, *joined, varies=high > low)


def _area_statistics(
    x: Float[np.ndarray, "time y x"], known: Bool[np.ndarray, "time y x"], area: Float[np.ndarray, "y x"]
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
    """Mean and standard deviation over the known cells at each time, in double precision; NaN where there is none."""
    weight = np.where(known, area, 0.0)
    total = weight.sum(axis=(1, 2))
    total = np.where(total > 0, total, np.nan)
    values = np.where(known, x, 0.0).astype(np.float64)
    mean = (weight * values).sum(axis=(1, 2)) / total
    square = (weight * (values - mean[:, None, None]) ** 2).sum(axis=(1, 2)) / total
    return mean, np.sqrt(square)


def _check(array: xr.DataArray, survey: Survey, where: str) -> list[Finding]:
    """Inf, NaN and constant fields."""
    name, times, n = str(array.name), array["time"], array.sizes["time"]
    if survey.infinite.any():
        first = int(np.flatnonzero(survey.infinite)[0])
        raise InputError(
            f"variable '{name}' of {where} holds {survey.infinite.sum()} infinite or undeclared fill values, first "
            f"at {_place(array, first, np.abs(array.isel(time=first).values) >= HUGE)}: mask or replace them"
        )
    never = survey.missing == n
    if never.all():
        raise InputError(f"variable '{name}' of {where} has no value at all: leave it out of ingestion.variables")
    scattered = (survey.missing > 0) & ~never
    if scattered.any():
        first = _first_scattered(array, scattered)
        raise InputError(
            f"{survey.missing[scattered].sum()} values of '{name}' in {where} are missing, first at {first}: fill "
            "them in or choose another ingestion.period (only cells that never have a value may be missing)"
        )
    if not survey.varies[~never].any():
        how = "is constant" if np.nanmax(survey.spread) == 0 else "does not change in time"
        raise InputError(f"variable '{name}' of {where} {how}: leave it out of ingestion.variables")
    findings = [Finding("infinite values", name, "", 0, "fine", "No value is infinite.")]
    if never.any():
        sentence = f"{never.sum()} cells of {never.size} never have a value: they do not exist, and are left out."
        findings.append(Finding("missing values", name, "", int(never.sum()), "allowed", sentence))
    else:
        findings.append(Finding("missing values", name, "", 0, "fine", "No value is missing."))
    flat = np.flatnonzero(survey.spread == 0)
    if flat.size:
        first = calendars.iso(times[flat[0]])[0]
        sentence = f"{flat.size} fields have one value in all cells, first at {first}: kept, look at them."
        findings.append(Finding("constant fields", name, first, int(flat.size), "allowed", sentence))
    else:
        findings.append(Finding("constant fields", name, "", 0, "fine", "No field is constant."))
    return findings


def _place(array: xr.DataArray, time: int, bad: Bool[np.ndarray, "y x"]) -> str:
    """Date and place of the first bad cell."""
    y, x = (int(index[0]) for index in np.nonzero(bad))
    date = calendars.iso(array["time"][time])[0]
    return f"{date}, latitude {float(array['latitude'][y]):g}, longitude {float(array['longitude'][x]):g}"


def _first_scattered(array: xr.DataArray, scattered: Bool[np.ndarray, "y x"]) -> str:
    for span, x in blocks(array):
        bad = np.isnan(x) & scattered
        if bad.any():
            time = int(np.flatnonzero(bad.any(axis=(1, 2)))[0])
            return _place(array, span.start + time, bad[time])
    raise AssertionError("a scattered NaN was counted before")


def _check_jumps(array: xr.DataArray, survey: Survey, where: str) -> Finding:
    """Refuses a change of units midway: one step of the area mean, or of the log of the area spread, unlike all others.

    A step stands out when it is ten times (of the log spread five times) the fifth largest, so that up to four
    changes there and back are seen, and large: a whole area spread, or a factor of five. Steps over the border
    of a segment do not count.
    """
    name, inside = str(array.name), np.diff(array["segment"].values) == 0
    typical = float(np.median(survey.spread))
    offset = np.abs(np.diff(survey.mean)) * inside
    at = _outstanding(offset, 10.0, typical)
    if at is None and survey.spread.min() > 0:
        at = _outstanding(np.abs(np.diff(np.log(survey.spread))) * inside, 5.0, np.log(5.0))
    if at is None:
        return Finding("unit jumps", name, "", 0, "fine", "Mean and spread have no sudden step.")
    date = calendars.iso(array["time"][at + 1])[0]
    raise InputError(
        f"variable '{name}' of {where} seems to change its units at {date}: its mean steps from "
        f"{survey.mean[at]:.4g} to {survey.mean[at + 1]:.4g} and its spread from {survey.spread[at]:.3g} to "
        f"{survey.spread[at + 1]:.3g} ({array.attrs['units']}): convert one part, or choose another ingestion.period"
    )


def _outstanding(steps: Float[np.ndarray, " steps"], ratio: float, least: float) -> int | None:
    ranked = np.sort(steps)[::-1]
    return int(np.argmax(steps)) if ranked[0] > max(ratio * ranked[4], least) else None
