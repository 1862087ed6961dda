"""Quality control of values: one pass over each variable, then each check rejects, allows or passes it.

The checks look for NaN (at some or all times), Inf, undeclared fill values, constant fields, and units that change
midway, and for values that single precision cannot resolve; `docs/data.md` holds the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int

from fieldcast import calendars, geometry
from fieldcast.errors import InputError, counted
from fieldcast.fields.conventions import is_error, static, time_varying
from fieldcast.fields.domain import SMALL_BLOCK_BYTES, blocks, sea
from fieldcast.fields.encoding import Search
from fieldcast.fields.options import Missing
from fieldcast.fields.repair import Finding

COLUMNS = list(Finding._fields)
MIN_OBSERVED_TIMES = 2  # smallest number of times with a value
MIN_VARYING_CELLS = 4  # smallest number of cells that change in time: those of the smallest grid, 2 x 2
# smallest number of single-precision levels between the lowest and the highest value
MIN_RESOLVED_LEVELS = 100
MAX_FINITE = 1e30  # values from here on count as infinite; the undeclared fill value 9.97e36 is larger
# limits of the largest value: its square, and that of a forecast a thousand times too large, fit in single precision
MAX_ABSOLUTE_VALUE, MIN_LARGEST_VALUE = 1e14, 1e-18
TRUE_EXTREME = "; if it is a true extreme, declare another number as the _FillValue"


def table(findings: list[Finding]) -> pd.DataFrame:
    """Quality table: check, variable, where, count, action, sentence."""
    return pd.DataFrame(findings, columns=COLUMNS)


def inspect(
    dataset: xr.Dataset, where: str, missing: Missing = "refuse", errors: bool = False, part: bool = False
) -> tuple[xr.Dataset, list[Finding]]:
    """Reject variables that cannot be learned from; drop static variables that cannot be used.

    `dataset` has been repaired (it has `segment`). If values that are missing at some times of a cell are not refused,
    data with such values have the attribute `missing`, "train". Variables that look like `errors` of others may be
    constant where these can be used; so may those of a `part` of a record, where they may also have no value.
    """
    findings: list[Finding] = []
    for name in time_varying(dataset):
        array = dataset[name]
        if not str(array.attrs.get("units", "")).strip():
            raise InputError(
                f"variable '{name}' of {where} has no units: add the attribute 'units' ('1' if it has none)"
            )
        summary = survey(array)
        if versions := summary.fills.encoding.versions:
            first, count, sentence = versions
            findings.append(Finding("versions", name, first, count, "allowed", sentence))
        findings.append(_check_finite(array, summary, where))
        if not part:
            findings.append(_check_missing(array, summary, where, missing))
        of_another = errors and is_error(array)
        if not of_another and not part:
            findings.append(_check_constant(array, summary, where))
        if summary.scattered.any():
            dataset = dataset.assign_attrs(missing="train")
        if not of_another and not part:
            _check_precision(array, summary, where)
        if not part:
            findings.append(check_unit_jumps(array, summary, where))
    for name in static(dataset):
        values = dataset[name].values
        usable = bool(np.all(np.abs(values) < MAX_FINITE)) and not _has_far_fills(dataset[name])
        if not usable or not dataset[name].attrs.get("units"):
            dataset = dataset.drop_vars(name)
            sentence = f"Static variable '{name}' has missing values (or fill values) or no units: left out."
            findings.append(Finding("static", name, "", 1, "repaired", sentence))
    return dataset, findings


def _has_far_fills(array: xr.DataArray) -> bool:
    """Whether a static variable holds an undeclared fill value."""
    search = Search(array)
    search.add(array.values[None])
    alone = not search.has_others
    return any(search.is_far(value) or (alone and value not in search.packed) for value in search.occurrences)


def _check_finite(array: xr.DataArray, survey: Survey, where: str) -> Finding:
    name = str(array.name)
    if not survey.infinite.any():
        refuse_fills(array, survey.fills, where)
        return Finding(
            "infinite values", name, "", 0, "fine", "No value is infinite or an undeclared fill value."
        )
    first = int(np.flatnonzero(survey.infinite)[0])
    location = _place(array, first, np.abs(array.isel(time=first).values) >= MAX_FINITE)
    raise InputError(
        f"variable '{name}' of {where} holds infinite or undeclared fill values "
        f"({survey.infinite.sum()}, first at {location}): mask or replace them"
    )


def refuse_fills(array: xr.DataArray, search: Search, where: str) -> None:
    """Reject a variable with an undeclared fill value, by the rule of `fields.encoding`."""
    for value, occurrence in search.occurrences.items():
        packed = f" ({search.packed[value]} as packed)" if value in search.packed else ""
        extreme = TRUE_EXTREME if packed else ""
        subject = f"variable '{array.name}' of {where} holds {value:g}{packed}"
        if search.is_far(value):
            location = _place(array, occurrence.first, array.isel(time=occurrence.first).values == value)
            raise InputError(
                f"{subject} {counted(int(occurrence.count.sum()), 'time')}, first at {location}, far outside all other "
                f"values ({search.low:g} to {search.high:g}): declare it as the variable's _FillValue, or "
                f"replace it{extreme}"
            )
        if search.is_mask(value):
            cells = occurrence.count == search.times
            raise InputError(
                f"{subject} at all times in {counted(int(cells.sum()), 'cell')}, the first at {_cell(array, cells)}, "
                "as an undeclared mask: declare it as the variable's _FillValue, or put NaN there"
            )


def _check_missing(array: xr.DataArray, survey: Survey, where: str, missing: Missing) -> Finding:
    name, never, scattered = str(array.name), survey.never, survey.scattered
    outside = ""
    if valid := survey.fills.encoding.valid:
        outside = f" (values outside the file's valid range {valid[0]:g} to {valid[1]:g} count as missing)"
    elif survey.fills.encoding.codes:
        outside = " (values that its flag_values name count as missing)"
    if never.all():
        raise InputError(
            f"variable '{name}' of {where} has no value at all{outside}: leave it out (ingestion.variables names those "
            "to read), or give a file in which it has some"
        )
    if scattered.any():
        count, first = int(survey.missing[scattered].sum()), _first_scattered(array, scattered)
        if missing == "refuse":
            raise InputError(
                f"{counted(count, 'value')} of '{name}' in {where} {'is' if count == 1 else 'are'} missing{outside}, "
                f"first at {first}: fill them with `fieldcast fill-gaps`, let models learn from the others with "
                'ingestion.missing=train (in Python missing="train"), or choose another ingestion.period (by default '
                "only cells without a value at any time may be missing)"
            )
        return _scattered_finding(array, survey, where, first, count, outside)
    if not never.any():
        return Finding("missing values", name, "", 0, "fine", "No value is missing.")
    sentence = f"{never.sum()} of {never.size} cells never have a value{outside}: they do not exist, and are left out."
    return Finding("missing values", name, "", int(never.sum()), "allowed", sentence)


def _scattered_finding(
    array: xr.DataArray, survey: Survey, where: str, first: str, count: int, outside: str
) -> Finding:
    """Finding for a variable with values missing at some times, which has enough of the others."""
    name, empty = str(array.name), np.flatnonzero(survey.present == 0)
    observed = len(survey.present) - empty.size
    if observed < MIN_OBSERVED_TIMES:
        raise InputError(
            f"variable '{name}' of {where} is observed at only {counted(observed, 'time')}, and at least "
            f"{MIN_OBSERVED_TIMES} are needed: leave it out with ingestion.variables, or choose another "
            "ingestion.period"
        )
    share = count / ((~survey.never).sum() * len(survey.present))
    sentence = f"{counted(count, 'value')} ({share:.1%}) missing{outside}, first at {first}: "
    sentence += "models learn from the others."
    if empty.size:
        date = calendars.date(array["time"][empty[0]])
        sentence += f" {counted(empty.size, 'time has', 'times have')} no value at all, the first {date}."
    at_sea = sea(array)
    absent = survey.never if at_sea is None else survey.never & ~at_sea
    if absent.any():
        sentence += f" {absent.sum()} of {absent.size} cells never have a value and are left out."
    return Finding("missing values", name, first.partition(",")[0], count, "allowed", sentence)


def _check_constant(array: xr.DataArray, survey: Survey, where: str) -> Finding:
    name = str(array.name)
    if not survey.varies.any():
        how = "is constant" if survey.flat.all() else "does not change in time"
        remedy = "leave it out with ingestion.variables"
        if survey.fills.encoding.wide:
            value = np.float32(survey.high.max())
            how += f" in single precision (which resolves {np.spacing(value):.1g} at {value:.3g})"
            remedy += ", or subtract a constant from it if it varies by less"
        raise InputError(f"variable '{name}' of {where} {how}: {remedy}")
    flat = np.flatnonzero(survey.flat)
    if not flat.size:
        return Finding("constant fields", name, "", 0, "fine", "No field is constant.")
    first = calendars.date(array["time"][flat[0]])
    have = counted(flat.size, "field has", "fields have")
    sentence = f"{have} the same value in all cells, first at {first}: kept, but check them."
    return Finding("constant fields", name, first, int(flat.size), "allowed", sentence)


def _check_precision(array: xr.DataArray, survey: Survey, where: str) -> None:
    """Reject too few cells that change, and values that single precision, in which models compute, cannot resolve."""
    subject = f"variable '{array.name}' of {where}"
    count = int(survey.varies.sum())
    if count < MIN_VARYING_CELLS:
        raise InputError(
            f"{subject} changes in time in {count} of {counted(survey.varies.size, 'cell')}, and at least "
            f"{MIN_VARYING_CELLS} are needed: leave it out with ingestion.variables, or give a larger region"
        )
    low, high = float(survey.low.min()), float(survey.high.max())
    largest = max(abs(low), abs(high))
    if not MIN_LARGEST_VALUE < largest < MAX_ABSOLUTE_VALUE:
        raise InputError(
            f"{subject} has values of up to {largest:.3g}, beyond what scores in single precision can hold: convert it "
            f"to {'larger' if largest > 1 else 'smaller'} units"
        )
    levels = (high - low) / float(np.spacing(np.float32(largest)))
    if survey.fills.encoding.wide and levels < MIN_RESOLVED_LEVELS:
        raise InputError(
            f"{subject} lies between {low:.8g} and {high:.8g}, where single precision resolves {levels:.0f} levels: "
            "subtract a constant from it"
        )


def _cell(array: xr.DataArray, faulty: Bool[np.ndarray, "y x"]) -> str:
    """Location of the first faulty cell."""
    y, x = (int(index[0]) for index in np.nonzero(faulty))
    if geometry.is_curvilinear(array):
        latitude, longitude = (float(array[name].values[y, x]) for name in geometry.TRUE_GRID)
    else:
        latitude, longitude = float(array["latitude"][y]), float(array["longitude"][x])
    return f"latitude {latitude:g}, longitude {longitude:g}"


def _place(array: xr.DataArray, time: int, faulty: Bool[np.ndarray, "y x"]) -> str:
    """Date and location of the first faulty cell."""
    return f"{calendars.date(array['time'][time])}, {_cell(array, faulty)}"


def _first_scattered(array: xr.DataArray, scattered: Bool[np.ndarray, "y x"]) -> str:
    for span, x in blocks(array):
        faulty = np.isnan(x) & scattered
        if faulty.any():
            time = int(np.flatnonzero(faulty.any(axis=(1, 2)))[0])
            return _place(array, span.start + time, faulty[time])
    raise AssertionError("the survey counted a scattered NaN")


# Survey the values of a variable in one pass, for the quality checks.


@dataclass(frozen=True)
class Survey:
    """Summary of a variable's values.

    Parameters
    ----------
    missing
        Number of times at which a cell has no value.
    low, high
        Smallest and largest finite value of a cell; infinite if there is none.
    present
        Number of finite values at each time.
    infinite
        Number of infinite or huge values at each time.
    flat
        Whether all cells, at least two, have the same value.
    mean, spread
        Area mean and standard deviation; NaN without a value.
    fills
        Possible undeclared fill values, and the encoding of the values in their file.
    """

    missing: Int[np.ndarray, "y x"]
    low: Float[np.ndarray, "y x"]
    high: Float[np.ndarray, "y x"]
    present: Int[np.ndarray, " time"]
    infinite: Int[np.ndarray, " time"]
    flat: Bool[np.ndarray, " time"]
    mean: Float[np.ndarray, " time"]
    spread: Float[np.ndarray, " time"]
    fills: Search

    @property
    def never(self) -> Bool[np.ndarray, "y x"]:
        """Whether a cell has no value at any time."""
        return self.missing == len(self.present)

    @property
    def scattered(self) -> Bool[np.ndarray, "y x"]:
        """Whether a cell lacks values at some times only."""
        return (self.missing > 0) & ~self.never

    @property
    def varies(self) -> Bool[np.ndarray, "y x"]:
        """Whether a cell changes in time."""
        return self.high > self.low


def survey(array: xr.DataArray) -> Survey:
    """Survey a variable on (time, latitude, longitude), reading each block of times once."""
    shape = (array.sizes["latitude"], array.sizes["longitude"])
    area = geometry.areas_of(array)
    missing, low, high = np.zeros(shape, dtype=np.int64), np.full(shape, np.inf), np.full(shape, -np.inf)
    by_time: list[tuple[np.ndarray, ...]] = []
    fills = Search(array)
    for _, x in blocks(array, SMALL_BLOCK_BYTES):
        fills.add(x)
        nan, huge = np.isnan(x), np.abs(x) >= MAX_FINITE
        finite = ~(nan | huge)
        below, above = np.where(finite, x, np.inf), np.where(finite, x, -np.inf)
        missing += nan.sum(axis=0)
        low, high = np.minimum(low, below.min(axis=0)), np.maximum(high, above.max(axis=0))
        present = finite.sum(axis=(1, 2))
        flat = (below.min(axis=(1, 2)) == above.max(axis=(1, 2))) & (present > 1)
        by_time.append((present, huge.sum(axis=(1, 2)), flat, *_area_statistics(x, finite, area)))
    present, infinite, flat, mean, spread = (np.concatenate(parts) for parts in zip(*by_time, strict=True))
    return Survey(missing, low, high, present, infinite, flat, mean, spread, fills)


def _area_statistics(
    x: Float[np.ndarray, "time y x"], finite: Bool[np.ndarray, "time y x"], area: Float[np.ndarray, "y x"]
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
    """Mean and standard deviation over the finite cells at each time, in double precision; NaN if there are none."""
    weight = np.where(finite, area, 0.0)
    values = np.where(finite, x, 0.0).astype(np.float64)
    mean = geometry.area_mean(values, weight)
    return mean, np.sqrt(geometry.area_mean((values - mean[:, None, None]) ** 2, weight))


# The check for a change of units midway through a record.


def check_unit_jumps(array: xr.DataArray, survey: Survey, where: str) -> Finding:
    """Reject a change of units midway: an exceptional, lasting step of the area mean or of the log area spread.

    Such a step exceeds ten times (for the log spread five times) the fifth largest step, so that up to four changes are
    detected; it exceeds three area spreads (a front over a small region reaches two), or a factor of five; and it
    lasts: the ten times before it and the ten after it differ by at least half of it. Steps between segments do not
    count.
    """
    observed = np.flatnonzero(survey.present)
    name, segment = str(array.name), array["segment"].values[observed]
    means, spreads = survey.mean[observed], survey.spread[observed]
    typical = float(np.median(spreads))
    sound = spreads > 1e-6 * typical
    logs = np.log(np.where(sound, spreads, 1.0))
    inside = np.diff(segment) == 0
    at = lasting_step(means, inside, 10.0, 3 * typical)
    if at is None:
        at = lasting_step(logs, inside & sound[1:] & sound[:-1], 5.0, float(np.log(5.0)))
    if at is None:
        return Finding("unit jumps", name, "", 0, "fine", "Neither mean nor spread changes abruptly.")
    date = calendars.date(array["time"][observed[at + 1]])
    mean, spread = means[at : at + 2], spreads[at : at + 2]
    raise InputError(
        f"variable '{name}' of {where} seems to change its units at {date}: its mean changes from "
        f"{mean[0]:.4g} to {mean[1]:.4g} and its spread from {spread[0]:.3g} to {spread[1]:.3g} "
        f"({array.attrs['units']}): convert one part, or choose another ingestion.period"
    )


def lasting_step(
    series: Float[np.ndarray, " time"], inside: Bool[np.ndarray, " steps"], ratio: float, least: float
) -> int | None:
    """Index before an exceptional step that lasts; None if there is none."""
    steps = np.abs(np.diff(series)) * inside
    threshold = max(ratio * np.sort(steps)[-5:][0], least)
    for at in np.flatnonzero(steps > threshold):
        before, after = series[max(at - 9, 0) : at + 1], series[at + 1 : at + 11]
        separation = max(before.min() - after.max(), after.min() - before.max())
        if min(before.size, after.size) >= 3 and separation > 0.5 * steps[at]:
            return int(at)
    return None
