"""Dates of a record as files give them: numbers, texts, bounds, steps of forecasts, and attributes of the file."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import Any

import cftime
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from fieldcast import calendars
from fieldcast.errors import InputError, counted
from fieldcast.fields.conventions import as_dataset, axes
from fieldcast.fields.grids import with_latitudes

LOG = logging.getLogger(__name__)
TIME_NAMES = {"time", "times", "valid_time", "date", "dates", "datetime", "t", "yyyymmdd", "yyyymm"}
_STEPS = {"step", "lead", "lead_time", "leadtime", "prediction_timedelta", "forecast_period"}
_COVERAGE = (
    ("time_coverage_start", "start_date", "start_time"),
    ("time_coverage_end", "stop_date", "end_time"),
)
_SINCE = re.compile(r"\s*(month|year)s?\s+since\s+(\S.*)", re.IGNORECASE)
_ABSOLUTE = re.compile(r"\s*(day|month|year)s?\s+as\s+%Y", re.IGNORECASE)
_OTHER_CALENDARS = {"360": "360_day", "365": "365_day", "366": "366_day"}
JULIAN_EPOCH = 2440587.5  # Julian day number of 1970-01-01T00
JULIAN_DAYS = 2.3e6, 2.6e6  # the years 1585 to 2406
MODIFIED_JULIAN = 2400000.5  # Julian day number of the modified number 0, 1858-11-17
MATLAB_EPOCH = 719529  # MATLAB's day number of 1970-01-01
MATLAB_DAYS = 7e5, 8e5  # the years 1916 to 2190
DAY = np.timedelta64(1, "D")


def as_record(data: object, where: str = "the data") -> xr.Dataset:
    """A data set of a record with dates as times; what was done about them is logged.

    Numbers such as 20150101, Julian day numbers, texts, and times that were opened without being decoded become dates.
    Times that stand at the end of their bounds, of a day or longer, become the beginning. Steps of forecasts are joined
    to one axis of valid times. Without a time axis the attributes `time_coverage_start` and `time_coverage_end` of the
    file give the date. Cells of a projection get their latitudes and longitudes (`fields.grids`).
    """
    dataset = as_dataset(data, where)
    for step in (with_latitudes, _decoded, _with_dates, _within_bounds, _with_valid_times, _with_coverage):
        dataset = step(dataset, where)
    return dataset


def decoded_months(raw: xr.Dataset) -> xr.Dataset:
    """A data set that was opened without decoding its times, decoded; months and years are those of the calendar.

    A fraction of a month is one of its length, so that .5 is its middle. A calendar called 360 counts such months,
    too; xarray decodes those of `360_day`.
    """
    for name, array in raw.variables.items():
        since = _SINCE.fullmatch(str(array.attrs.get("units", "")))
        calendar = str(array.attrs.get("calendar", "standard")).lower()
        attrs = {key: value for key, value in array.attrs.items() if key not in ("units", "calendar")}
        if since and array.ndim <= 1 and calendar in ("360", *calendars.CALENDARS[:-1]):
            number = (12 if since[1].lower() == "year" else 1) * np.atleast_1d(array.values.astype(float))
            dates = months_after(since[2], number, calendar).reshape(array.shape)
            raw = raw.assign({str(name): (array.dims, dates, attrs)})
        elif calendar in _OTHER_CALENDARS:
            raw[name].attrs["calendar"] = _OTHER_CALENDARS[calendar]
    return xr.decode_cf(
        raw, mask_and_scale=False, decode_coords=False, concat_characters=False, decode_timedelta=False
    )


def months_after(
    reference: str, number: Float[np.ndarray, " time"], calendar: str = "standard"
) -> np.ndarray:
    """Dates that follow a reference, such as 1960-1-1, by some months of a calendar; NaN becomes NaT."""
    parts = re.match(r"\s*(-?\d+)-(\d+)-(\d+)[T\s]*(.*)", reference)
    if parts is None:
        raise ValueError(f"'{reference}' is not a date")
    year, month, day = map(int, parts.groups()[:3])
    clock = pd.Timestamp(f"2000-01-01 {parts[4]}".strip()).tz_localize(None) - pd.Timestamp("2000-01-01")
    offset = timedelta(days=day - 1) + clock.to_pytimedelta()
    known = np.where(np.isfinite(number), number, 0)
    whole = np.floor(known + 1e-6)
    share = np.clip(known - whole, 0, None)
    months = 12 * year + month - 1 + whole.astype(int)
    is_standard = calendar in ("360", *calendars.STANDARD)
    in_range = (months // 12 >= calendars.FIRST_YEAR) & (months // 12 <= calendars.LAST_YEAR)
    if is_standard and in_range.all():
        like = np.empty(0, "M8[s]")
    elif np.isfinite(number).all():
        calendar = "proleptic_gregorian" if is_standard else calendar
        like = np.array([cftime.datetime(1, 1, 1, calendar=calendar)])
    else:
        raise ValueError("a number of months is missing")
    begin, end = (calendars.month_starts(each, like) for each in (months, months + 1))
    if like.dtype.kind == "M":
        minutes = np.round(share * ((end - begin) / np.timedelta64(1, "m"))).astype("m8[m]")
        dates = begin.astype("M8[ns]") + np.timedelta64(offset).astype("m8[ns]") + minutes
        return np.where(np.isfinite(number), dates, np.datetime64("NaT"))
    lengths = [round(x * (e - b) / timedelta(minutes=1)) for x, b, e in zip(share, begin, end, strict=True)]
    return begin + offset + np.array([timedelta(minutes=minutes) for minutes in lengths])


def _decoded(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """Dates in place of numbers since a date, in data that were opened without decoding times."""
    name = axes(dataset).get("time")
    if name is not None and calendars.is_dates(dataset[name]):
        return dataset
    since = {
        str(key): array
        for key, array in dataset.variables.items()
        if array.ndim <= 1 and array.dtype.kind in "fiu" and " since " in str(array.attrs.get("units"))
    }
    bounds = {str(array.attrs["bounds"]) for array in since.values() if "bounds" in array.attrs}
    since |= {key: dataset.variables[key] for key in bounds if key in dataset.variables}
    if not since:
        return dataset
    for key, array in dataset.data_vars.items():
        if packing := {"scale_factor", "add_offset"} & {*array.attrs}:
            raise InputError(
                f"{where} holds packed numbers ('{key}' has the attribute {min(packing)}), because it was opened "
                "without decoding: give xarray.decode_cf(dataset)"
            )
    try:
        dates = decoded_months(xr.Dataset({key: array.copy() for key, array in since.items()}))
    except ValueError as error:
        units = "; ".join(str(array.attrs["units"]) for array in since.values() if "units" in array.attrs)
        raise InputError(
            f"the times of {where} cannot be decoded ({units}): give dates in units such as 'days since 2001-01-01'"
        ) from error
    coords = {key: dates[key].variable for key in since if key in dataset.coords}
    variables = {key: dates[key].variable for key in since if key not in coords}
    return dataset.assign_coords(coords).assign(variables)


def _with_dates(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """Dates in place of numbers or texts on the time axis, unless a variable holds dates already."""
    name = axes(dataset).get("time")
    if name is not None and calendars.is_dates(dataset[name]):
        return dataset
    candidates = [] if name is None else [name]
    for key, array in dataset.variables.items():
        is_time = str(key).lower() in TIME_NAMES or array.attrs.get("standard_name") == "time"
        if array.ndim <= 1 and (is_time or array.attrs.get("axis") == "T") and key not in candidates:
            candidates.append(str(key))
    for key in sorted(candidates, key=lambda each: dataset[each].dtype.kind not in "SUO"):  # texts first
        dates = _dates(dataset[key], where)
        if dates is not None:
            attrs = {k: v for k, v in dataset[key].attrs.items() if k not in ("units", "calendar")}
            dims, dim = dataset[key].dims, next(iter(dataset[key].dims), None)
            dataset = dataset.drop_vars(key).assign_coords({key: (dims, dates, attrs)})
            return dataset if dim in (None, key) else dataset.swap_dims({dim: key})
    return dataset


def _dates(array: xr.DataArray, where: str) -> np.ndarray | None:
    """Dates that a variable's numbers or texts mean; None if they mean none."""
    values = np.atleast_1d(array.values)
    if values.dtype.kind in "SUO":
        texts = [text.decode() if isinstance(text, bytes) else str(text) for text in values.ravel()]
        iso = [text.strip("\x00 ").replace("_", " ") for text in texts]
        parsed = pd.to_datetime(pd.Series(iso), errors="coerce", format="mixed", utc=True)
        if not iso or parsed.isna().any() or not all(re.match(r"\d{4}", text) for text in iso):
            return None
        return parsed.dt.tz_localize(None).to_numpy().astype("M8[ns]").reshape(array.shape)
    if values.dtype.kind not in "fiu" or not values.size or not np.isfinite(values).all():
        return None
    numbers, units = values.astype(float), str(array.attrs.get("units", "")).lower()
    if " since " in units:
        return None
    low, high = numbers.min(), numbers.max()
    described = f"{units} {array.name} " + " ".join(
        str(array.attrs.get(key, "")).lower() for key in ("long_name", "standard_name", "comment")
    )
    if (dates := _calendar_numbers(numbers, units)) is not None:
        pass
    elif (
        re.search(r"modified.julian|mjd", described)
        and units in ("", "1", "d", "day", "days")
        and 0 < low <= high < 2e5
    ):
        dates = _after_1970(numbers + MODIFIED_JULIAN - JULIAN_EPOCH)
    elif JULIAN_DAYS[0] <= low <= high <= JULIAN_DAYS[1]:
        dates = _after_1970(numbers - JULIAN_EPOCH)
        LOG.warning(
            "%s: '%s' holds Julian day numbers: read as the dates from %s.",
            where, array.name, calendars.date(dates[0]),
        )  # fmt: skip
    elif MATLAB_DAYS[0] <= low <= high <= MATLAB_DAYS[1]:
        if not any(word in described for word in ("matlab", "datenum")):
            raise InputError(
                f"the times '{array.name}' of {where} run from {low:g} to {high:g}, as MATLAB's day numbers do, and "
                "Python's, which are 366 less: if they are MATLAB's, decode them with dataset.assign_coords("
                f"{array.name}=pandas.to_datetime(dataset['{array.name}'] - {MATLAB_EPOCH}, unit='D'))"
            )
        dates = _after_1970(numbers - MATLAB_EPOCH)
        LOG.warning(
            "%s: '%s' holds MATLAB's day numbers: read as the dates from %s.",
            where, array.name, calendars.date(dates[0]),
        )  # fmt: skip
    elif 1500 <= low < high <= 2300 and not units.startswith(("day", "hour", "min", "sec", "s")):
        raise InputError(
            f"the times '{array.name}' of {where} run from {low:g} to {high:g}, as years do: give dates, such as "
            f"dataset.assign_coords({array.name}=xarray.date_range(...)), or units such as 'years since 0000-01-01'"
        )
    return None if dates is None else dates.reshape(array.shape)


def _after_1970(days: Float[np.ndarray, " time"]) -> np.ndarray:
    """Dates by days since 1970, to the second."""
    return np.datetime64("1970-01-01", "ns") + np.round(days * 86400).astype("m8[s]").astype("m8[ns]")


def _calendar_numbers(numbers: Float[np.ndarray, " time"], units: str) -> np.ndarray | None:
    """Dates written as one number; None for others.

    They are YYYYMMDD (with a fraction of the day), YYYYMM, YYYYMMDDHH, or YYYYDDD with the day of the year.
    """
    whole = np.floor(numbers).astype(np.int64)
    low, high = whole.min(), whole.max()
    if 1500001 <= low <= high <= 2299366 and (not units or re.search(r"yyyy-?ddd|%y%j|^1$", units)):
        dates = pd.to_datetime(pd.Series(whole.astype(str)), format="%Y%j", errors="coerce")
        return None if dates.isna().any() else dates.to_numpy().astype("M8[ns]") + _fraction(numbers)
    hour = np.zeros(whole.size, np.int64)
    if 1500010100 <= low <= high <= 2300123123:
        whole, hour = whole // 100, whole % 100
    elif 150001 <= low <= high <= 230012 and not units.startswith(("day", "hour", "min", "sec")):
        whole = 100 * whole + 1
    elif not 15000101 <= low <= high <= 23001231:
        return None
    if hour.max() > 23 or (units and not (_ABSOLUTE.match(units) or re.search(r"yyyy|%y|^1$|date", units))):
        return None
    days = pd.to_datetime(pd.Series(whole.astype(str)), format="%Y%m%d", errors="coerce")
    if days.isna().any():
        return None
    return days.to_numpy().astype("M8[ns]") + _fraction(numbers) + hour.astype("m8[h]")


def _fraction(days: Float[np.ndarray, " time"]) -> np.ndarray:
    """The fraction of each day, to the second."""
    return np.round(86400 * (days - np.floor(days))).astype("m8[s]").astype("m8[ns]")


def _within_bounds(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """Times at the beginning of their bounds where they stand at the end: 1 February for the mean of January."""
    name = axes(dataset).get("time")
    if name is None or dataset[name].ndim != 1:
        return dataset
    time = dataset[name]
    bounds = time.attrs.get("bounds", time.encoding.get("bounds"))
    if (
        bounds not in dataset.variables
        or dataset[bounds].dims[:1] != time.dims
        or dataset[bounds].shape[1:] != (2,)
    ):
        return dataset
    ends = dataset[bounds].values
    if (
        not (calendars.is_dates(ends[:, 0]) and calendars.is_dates(time))
        or ends.dtype.kind != time.dtype.kind
    ):
        return dataset
    begin, end = ends[:, 0], ends[:, 1]
    hours = np.array([calendars.hours(pair)[1] - calendars.hours(pair)[0] for pair in ends])
    if not (np.all(time.values == end) and np.all(hours > 23.9)):
        return dataset
    LOG.warning(
        "%s: its times stand at the end of their bounds ('%s'), such as %s for the time from %s: they are read as its "
        "beginning.", where, bounds, calendars.date(end[0]), calendars.date(begin[0]),
    )  # fmt: skip
    return dataset.assign_coords({name: (time.dims, begin, time.attrs)})


def _with_valid_times(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """One axis of valid times in place of initial times and steps of forecasts.

    Where valid times of several steps coincide, the values must be equal or missing; each time then counts once.
    """
    step = next((name for name in map(str, dataset.dims) if name.lower() in _STEPS), None)
    name = axes(dataset).get("time")
    if step is None or name is None or dataset[name].ndim != 1 or step == name:
        return dataset
    start = str(dataset[name].dims[0])
    both = [key for key, array in dataset.data_vars.items() if {start, step} <= {*array.dims}]
    if not both or dataset.sizes[step] == 1 or step not in dataset.coords:
        return dataset
    valid = next(
        (a for a in dataset.variables.values() if {*a.dims} == {start, step} and a.dtype.kind == "M"), None
    )
    if valid is None:
        leads = _time_differences(dataset[step])
        if leads is None or dataset[name].dtype.kind != "M":
            return dataset
        dates = dataset[name].values[:, None] + leads[None]
    else:
        dates = valid.transpose(start, step).values
    flat = dates.ravel().astype("M8[ns]")
    others = {key: array for key, array in dataset.coords.items() if not {start, step} & {*array.dims}}
    joined = {}
    for key, array in dataset.data_vars.items():
        if {start, step} <= {*array.dims}:
            rest = [dim for dim in array.dims if dim not in (start, step)]
            chunked = array if array.chunks or array.variable._in_memory else array.chunk({start: 1})
            plain = chunked.drop_vars([c for c in array.coords if c not in others])
            stacked = plain.stack({"_valid": (start, step)}, create_index=False).transpose("_valid", *rest)
            stacked = stacked.rename(_valid="time").isel(time=np.argsort(flat, kind="stable"))
            stacked = stacked.assign_coords(time=np.sort(flat))
            joined[key], differ = _once_each(stacked)
            if differ.size and array.dtype.kind in "fiu":
                between = np.diff(np.sort(dataset[name].values))
                apart = max(1, int(np.sum(dates[0] - dates[0, 0] < between.min()))) if between.size else 1
                raise InputError(
                    f"{where} holds forecasts of {counted(dataset.sizes[step], 'step')} ('{step}'), and '{key}' has "
                    f"several values at {counted(differ.size, 'valid time')}, the first {calendars.date(differ)}: "
                    f"select steps with which each time occurs once, such as dataset.isel({step}=slice({apart}))"
                )
            joined[key] = joined[key].assign_attrs(array.attrs)
            joined[key].encoding = {k: v for k, v in array.encoding.items() if "chunk" not in k}
        elif start not in array.dims and step not in array.dims:
            joined[key] = array
    LOG.warning(
        "%s: its %s from %s are joined to %s by their valid times.", where,
        counted(dataset.sizes[step], "step"), counted(dataset.sizes[name], "initial time"),
        counted(len(np.unique(flat)), "time"),
    )  # fmt: skip
    return xr.Dataset(joined, others, dataset.attrs)


def _once_each(array: xr.DataArray) -> tuple[xr.DataArray, np.ndarray]:
    """Each of the sorted times of an array once, with its first value, and the times at which later values differ."""
    times, position = np.unique(array["time"].values, return_inverse=True)
    if len(times) == array.sizes["time"]:
        return array, times[:0]
    first = np.searchsorted(array["time"].values, times)
    rank = np.arange(len(position)) - first[position]
    once, differ = array.isel(time=first), np.zeros(len(times), bool)
    for number in range(1, rank.max() + 1):
        repeated = np.flatnonzero(rank == number)
        at = position[repeated]
        another = array.isel(time=repeated)
        known = once.isel(time=at)
        unequal = known.notnull() & another.notnull() & (known != another)
        differ[at] |= unequal.any([dim for dim in unequal.dims if dim != "time"]).values
        if once.dtype.kind == "f":
            once = once.fillna(another.reindex(time=times))
    return once, times[differ]


def _time_differences(step: xr.DataArray) -> np.ndarray | None:
    """Steps as time differences; None if their unit is not clear."""
    if step.dtype.kind == "m":
        return step.values.astype("m8[ns]")
    units = str(step.attrs.get("units", "")).lower()
    seconds = {
        "day": 86400,
        "hour": 3600,
        "h": 3600,
        "hr": 3600,
        "minute": 60,
        "min": 60,
        "second": 1,
        "sec": 1,
        "s": 1,
    }
    scale = seconds.get(units.rstrip("s") or units)
    if scale is None or step.dtype.kind not in "fiu":
        return None
    return np.round(step.values * scale).astype("m8[s]").astype("m8[ns]")


def _with_coverage(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """The date that the attributes of a file give, if it has no time axis.

    It is the day that holds the middle of the coverage of a day, and the day nearest to the beginning of a longer one.
    """
    dim = next((str(name) for name in dataset.dims if str(name).lower() in TIME_NAMES), None)
    if "time" in axes(dataset) or (dim is not None and (dim in dataset.coords or dataset.sizes[dim] != 1)):
        return dataset
    start, end = (_first_date(dataset, names) for names in _COVERAGE)
    if start is None:
        return dataset
    hours = 0.0 if end is None else (end - start) / np.timedelta64(1, "h")
    if 18 <= hours < 36:
        start = (start + (end - start) / 2).astype("M8[D]")
    elif hours >= 36:
        start = (start + DAY / 2).astype("M8[D]")
    date = start.astype("M8[ns]")
    return dataset.assign_coords(time=date) if dim is None else dataset.assign_coords({dim: (dim, [date])})


def _first_date(dataset: xr.Dataset, names: tuple[str, ...]) -> Any:
    for name in names:
        if name in dataset.attrs:
            text = str(dataset.attrs[name]).strip().removesuffix("UTC").strip()
            date = pd.to_datetime(text, errors="coerce", utc=True)
            if not pd.isna(date) and re.search(r"\d{4}", text):  # pandas takes a time of day for one of today
                return np.datetime64(date.tz_localize(None), "ns")
    return None
