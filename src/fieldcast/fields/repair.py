"""Repair coordinates (order, direction, repeated times and longitudes), and reject those that cannot be repaired.

`docs/data.md` holds the table of both.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from fieldcast import calendars
from fieldcast.calendars import TimeStep, regular, step_of, with_rounded_times
from fieldcast.errors import InputError, counted
from fieldcast.fields.conventions import time_varying
from fieldcast.fields.options import Gaps

MIN_TIMES = 30
RELATIVE_ROUNDING = 1e-6  # largest rounding error, relative to the largest value
# largest share of irregular steps in a record with a regular step, by the option `gaps`
MIN_COMPOSITE_HOURS = 48.0  # shortest step of composites of several days
MAX_IRREGULAR_SHARE = {"segment": 0.1, "insert": 0.5, "refuse": 0.5, "keep": 1.0}


class Finding(NamedTuple):
    """One row of the quality table."""

    check: str
    variable: str
    where: str
    count: int  # type: ignore[assignment]  # the column's name; tuple.count is not used
    action: Literal["repaired", "allowed", "fine"]
    sentence: str


def repair(
    dataset: xr.Dataset, where: str, gaps: Gaps = "refuse", fewest: int = MIN_TIMES
) -> tuple[xr.Dataset, list[Finding]]:
    """Make coordinates ascend and times unique, and add `segment`, which numbers regular stretches of time."""
    refuse_far_years(dataset["time"], where)
    dataset, findings = _oriented(dataset, where)
    for step in (_sorted_times, _without_duplicates, _with_rounded_times):
        dataset, finding = step(dataset, where)
        findings.append(finding)
    if dataset.sizes["time"] < fewest:
        raise InputError(
            f"{where} has {counted(dataset.sizes['time'], 'time')}, and at least {fewest} are needed: "
            "give a longer file or period"
        )
    dataset, more = _segments(dataset, where, gaps)
    return dataset, findings + more


def refuse_far_years(time: xr.DataArray, where: str) -> None:
    """Reject dates of the standard calendar that datetime64[ns] cannot hold."""
    if str(time.dt.calendar) in calendars.STANDARD and not calendars.representable(time):
        ends = time.values[[0, -1]]
        first, last = calendars.iso(ends) if ends.dtype.kind == "M" else (date.isoformat() for date in ends)
        raise InputError(
            f"the times of {where} ({first} to {last}) go beyond the years {calendars.FIRST_YEAR} to "
            f"{calendars.LAST_YEAR}, to which the standard calendar is limited here: choose an ingestion.period "
            "within them, or convert the file to the calendar 'noleap' (xarray's convert_calendar)"
        )


def _oriented(dataset: xr.Dataset, where: str) -> tuple[xr.Dataset, list[Finding]]:
    """Make latitudes and longitudes strictly ascending, with longitudes contiguous across the date line."""
    findings = []
    y = dataset["latitude"].values
    if y.size < 2 or dataset.sizes["longitude"] < 2:
        raise InputError(
            f"{where} has a grid of {y.size} x {dataset.sizes['longitude']}: give at least 2 x 2 cells"
        )
    if not np.all(np.abs(y) <= 90.001):
        raise InputError(f"{where} has latitudes outside -90 to 90 degrees: correct its latitude coordinate")
    if np.all(np.diff(y) < 0):
        dataset = dataset.isel(latitude=slice(None, None, -1))
        findings.append(Finding("latitude", "", "", y.size, "repaired", "Latitudes ran southward: reversed."))
    elif not np.all(np.diff(y) > 0):
        raise InputError(f"the latitudes of {where} are not in order: sort them and remove duplicates")
    dataset, more = _ascending_longitudes(dataset, where)
    return dataset, findings + more


def _ascending_longitudes(dataset: xr.Dataset, where: str) -> tuple[xr.Dataset, list[Finding]]:
    x = dataset["longitude"].values
    if x.size > 2 and np.isclose(abs(x[-1] - x[0]), 360.0):
        _check_first_meridian(dataset, where)
        dataset = dataset.isel(longitude=slice(None, -1))
        sentence = "The first meridian was repeated at the end: removed."
        dataset, findings = _ascending_longitudes(dataset, where)
        return dataset, [Finding("longitude", "", f"{x[-1]:g}", 1, "repaired", sentence), *findings]
    if np.all(np.diff(x) > 0) and x[-1] - x[0] < 360.0:
        return _cut_at_gap(dataset)
    if np.all(np.diff(x) < 0):
        dataset = dataset.isel(longitude=slice(None, None, -1))
        x = x[::-1]
    unwrapped = x[0] + np.concatenate([[0.0], np.cumsum(np.mod(np.diff(x), 360.0))])
    if unwrapped[-1] >= 180.0 and unwrapped[0] >= 0 and np.any(unwrapped >= 360.0):
        unwrapped = unwrapped - 360.0
    if np.any(np.diff(unwrapped) <= 0) or unwrapped[-1] - unwrapped[0] >= 360.0:
        raise InputError(f"the longitudes of {where} are not in order: sort them and remove duplicates")
    dataset = dataset.assign_coords(longitude=("longitude", unwrapped, dataset["longitude"].attrs))
    sentence = "Longitudes did not ascend: made ascending and contiguous."
    return dataset, [Finding("longitude", "", "", x.size, "repaired", sentence)]


def _cut_at_gap(dataset: xr.Dataset) -> tuple[xr.Dataset, list[Finding]]:
    """Cut ascending longitudes at the largest gap round the circle, if it is wider than 1.5 steps.

    A region across Greenwich from a file with longitudes from 0 has them as 0 .. 25, 340 .. 355: it begins at -20.
    """
    x = dataset["longitude"].values
    steps = np.diff(x)
    gap = int(steps.argmax())
    if steps[gap] <= 1.5 * np.median(steps) or steps[gap] <= x[0] + 360.0 - x[-1]:
        return dataset, []
    first = gap + 1
    cut = np.concatenate([x[first:] - 360.0, x[:first]])
    if cut[0] < -180.0:  # across the date line: 140 .. 220
        cut = cut + 360.0
    order = np.concatenate([np.arange(first, x.size), np.arange(first)])
    dataset = dataset.isel(longitude=order).assign_coords(
        longitude=("longitude", cut, dataset["longitude"].attrs)
    )
    region = f"the region is taken from {cut[0]:g} to {cut[-1]:g}"
    sentence = f"Longitudes leave a gap from {x[gap]:g} to {x[first]:g}: {region}."
    return dataset, [Finding("longitude", "", f"{x[gap]:g}", x.size, "repaired", sentence)]


def _check_first_meridian(dataset: xr.Dataset, where: str) -> None:
    """Reject a last column at 360 degrees that differs, beyond rounding, from the first at 0 degrees."""
    x = dataset["longitude"].values
    for name in (name for name, array in dataset.data_vars.items() if "longitude" in array.dims):
        ends = dataset[name].isel(longitude=[0, -1]).transpose(..., "longitude").values
        first, last = ends[..., 0], ends[..., 1]
        largest = np.fmax.reduce(np.abs(ends), axis=None)
        differ = ~np.isclose(
            first, last, rtol=RELATIVE_ROUNDING, atol=RELATIVE_ROUNDING * largest, equal_nan=True
        )
        if differ.any():
            time = np.argwhere(differ)[0, 0]
            date = (
                f", first at {calendars.date(dataset['time'][time])}" if "time" in dataset[name].dims else ""
            )
            values = " and ".join(f"{side[differ][0]:g}" for side in (first, last))
            raise InputError(
                f"'{name}' of {where} differs between longitude {x[0]:g} and {x[-1]:g}, which are the same meridian "
                f"({counted(int(differ.sum()), 'value')}{date}: {values}): remove one of the two columns"
            )


def _sorted_times(dataset: xr.Dataset, where: str) -> tuple[xr.Dataset, Finding]:
    hours = calendars.hours(dataset["time"])
    late = np.flatnonzero(np.diff(hours) < 0)
    if not late.size:
        return dataset, Finding("order of times", "", "", 0, "fine", "Times are in order.")
    first = calendars.date(dataset["time"][late[0] + 1])
    dataset = dataset.isel(time=np.argsort(hours, kind="stable"))
    sentence = f"{counted(late.size, 'time was', 'times were')} out of order, first at {first}: sorted."
    return dataset, Finding("order of times", "", first, int(late.size), "repaired", sentence)


def _without_duplicates(dataset: xr.Dataset, where: str) -> tuple[xr.Dataset, Finding]:
    """Drop repeated times with identical fields; reject different fields for the same time."""
    repeats = np.flatnonzero(np.diff(calendars.hours(dataset["time"])) == 0) + 1
    if not repeats.size:
        return dataset, Finding("duplicate times", "", "", 0, "fine", "No time occurs twice.")
    for name in time_varying(dataset):
        first_fields, repeated = (dataset[name].isel(time=index).values for index in (repeats - 1, repeats))
        both_nan = np.isnan(first_fields) & np.isnan(repeated)
        differ = ~np.all((first_fields == repeated) | both_nan, axis=(1, 2))
        if differ.any():
            date = calendars.date(dataset["time"][repeats[differ][0]])
            raise InputError(
                f"{where} gives '{name}' twice at {date}, with different values "
                f"({counted(int(differ.sum()), 'such time')}): keep one of them (if the "
                "files are members of an ensemble, name one file)"
            )
    first = calendars.date(dataset["time"][repeats[0]])
    sentence = (
        f"{counted(repeats.size, 'time')} occurred twice with the same values, first {first}: one was kept."
    )
    dataset = dataset.isel(time=np.delete(np.arange(dataset.sizes["time"]), repeats))
    return dataset, Finding("duplicate times", "", first, int(repeats.size), "repaired", sentence)


def _with_rounded_times(dataset: xr.Dataset, where: str) -> tuple[xr.Dataset, Finding]:
    """Bring times that were rounded as days, or stored in single precision, to the minute or the hour."""
    before, dataset = calendars.iso(dataset["time"]), with_rounded_times(dataset)
    after = calendars.iso(dataset["time"])
    moved = np.flatnonzero(after != before)
    if not moved.size:
        return dataset, Finding("rounded times", "", "", 0, "fine", "No time is off by rounding.")
    first = str(before[moved[0]])
    were = counted(moved.size, "time was", "times were")
    sentence = f"{were} off by rounding, first {first}: moved to {after[moved[0]]}."
    return dataset, Finding("rounded times", "", first, int(moved.size), "repaired", sentence)


def _segments(dataset: xr.Dataset, where: str, gaps: Gaps) -> tuple[xr.Dataset, list[Finding]]:
    """Number the regular stretches; reject gaps unless they may start a segment or be closed by times without values.

    Single irregular steps are rejected, too. Where most steps are irregular, every time is a segment of its own, and
    `step_hours` is 0.
    """
    time = dataset["time"]
    step = step_of(time)
    if gaps == "keep" and not is_regular_throughout(time):
        sentence = "Times are kept as they are, as if they were one step apart; forecasts are not possible."
        return _without_a_step(dataset, np.zeros(time.size), time.size, sentence)
    counts = step.counts(time) if step.hours else np.zeros(0)
    restarts = (
        restarts_of_years(time, counts, step) if gaps == "insert" else np.zeros(counts.size, dtype=bool)
    )
    counts = np.where(restarts, 1.0, counts)
    irregular = ~regular(counts)
    if irregular.sum() > MAX_IRREGULAR_SHARE[gaps] * counts.size:
        sentence = "No time step is regular: forecasts are not possible, reconstructions and samples are."
        return _without_a_step(dataset, np.arange(time.size), int(irregular.sum()), sentence)
    if irregular.any() and (gaps != "segment" or (counts < 1 - 1e-6).any()):
        date = calendars.date(time[np.flatnonzero(irregular)[0] + 1])
        as_they_are = ", or fill its times as they are with ingestion.gaps=keep (--gaps keep)"
        raise InputError(
            f"the time step of {where} is irregular: usually {step}, but not at {date} "
            f"({counted(int(irregular.sum()), 'such step')}): resample the data to a regular time step"
            + as_they_are
            * (gaps == "insert")
        )
    border = np.flatnonzero(counts > 1 + 1e-6)
    gap_finding = Finding("gaps", "", "", 0, "fine", "No date is missing.")
    if border.size:
        gap_finding = _missing_dates(time, counts, step, gaps, where)
        if gaps == "insert":
            dataset = dataset.reindex(time=_complete_times(time, counts, step))
    number = np.zeros(dataset.sizes["time"], dtype=np.int32)
    if restarts.any():
        sentence = (
            f"Composites of {step} begin anew on 1 January: times are kept as if they were one step apart; forecasts "
            "are not possible."
        )
        dataset, findings = _without_a_step(dataset, number, int(restarts.sum()), sentence)
        return dataset, [gap_finding, *findings]
    if gaps != "insert":
        number[border + 1] = 1
    dataset = dataset.assign_coords(segment=("time", np.cumsum(number, dtype=np.int32)))
    dataset.attrs |= step.attrs()
    step_finding = Finding("time step", "", "", 0, "fine", f"The time step is {step}.")
    if odd := int(irregular.sum()):
        are_odd = counted(odd, "gap is no multiple", "gaps are no multiples")
        sentence = f"The time step is {step}; {are_odd} of it; each starts a segment."
        step_finding = Finding("time step", "", "", odd, "allowed", sentence)
    return dataset, [gap_finding, step_finding]


def _without_a_step(
    dataset: xr.Dataset, segment: np.ndarray, count: int, sentence: str
) -> tuple[xr.Dataset, list[Finding]]:
    """The data set with its segments and a step of 0, as its times are not one step apart."""
    dataset = dataset.assign_coords(segment=("time", segment.astype(np.int32)))
    dataset.attrs |= TimeStep(0.0).attrs()
    return dataset, [Finding("time step", "", "", count, "allowed", sentence)]


def _missing_dates(time: xr.DataArray, counts: np.ndarray, step: TimeStep, gaps: Gaps, where: str) -> Finding:
    """The finding on the dates that a record of this step lacks; refused where these are."""
    border = np.flatnonzero(counts > 1 + 1e-6)
    missing, first = int(np.sum(np.round(counts[counts > 1]) - 1)), calendars.date(time[border[0]])
    dates_are = counted(missing, "date is", "dates are")
    if gaps == "refuse":
        raise InputError(
            f"{dates_are} missing in {where}, the first after {first} (step {step}): insert "
            f"{'it' if missing == 1 else 'them'} without values with ingestion.gaps=insert, or let each gap start "
            'a segment with ingestion.gaps=segment (in Python gaps="insert" or gaps="segment")'
        )
    added = f"{'it is' if missing == 1 else 'they are'} added without values"
    treatment = added if gaps == "insert" else "each gap starts a segment"
    sentence = f"{dates_are} missing in {counted(border.size, 'gap')}, the first after {first}: {treatment}."
    return Finding("gaps", "", first, missing, "allowed", sentence)


def restarts_of_years(time: xr.DataArray, counts: np.ndarray, step: TimeStep) -> np.ndarray:
    """Mask of the steps that are shorter than the others and end on 1 January, as those of 8-day composites do."""
    if not counts.size or step.months or step.hours < MIN_COMPOSITE_HOURS:
        return np.zeros(counts.size, dtype=bool)
    later = time.isel(time=slice(1, None)).dt
    first_day = ((later.month == 1) & (later.day == 1)).to_numpy()
    return (counts > 0) & (counts < 1 - 1e-6) & first_day


def is_regular_throughout(time: xr.DataArray) -> bool:
    """Whether all times are one step apart."""
    step = step_of(time)
    return bool(step.hours and np.all(np.abs(step.counts(time) - 1) < 1e-6))


def _complete_times(time: xr.DataArray, counts: np.ndarray, step: TimeStep) -> np.ndarray:
    """The times with those between them that a record of this step lacks, given the steps between successive times."""
    number = np.round(counts).astype(int)
    # position of the last time before each missing one
    before = np.repeat(np.arange(number.size), number - 1)
    later = np.concatenate([np.arange(1, n) for n in number])
    inserted = [step.after(time[before[later == n]], int(n)) for n in np.unique(later)]
    return np.sort(np.concatenate([time.values, *inserted]))
