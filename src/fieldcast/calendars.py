"""Times in any calendar, `datetime64` and `cftime` alike: day and fraction of the year, ISO text, hours.

A day of the year is one of 365, so that it means the same season in every year: 29 February counts as 28 February, and
a day of `360_day` as a day of the same month, of which two days of its February may share one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import cftime
import numpy as np
from jaxtyping import Float, Int

STANDARD = ("standard", "gregorian", "proleptic_gregorian")
# all calendars of the CF conventions that cftime knows
CALENDARS = (*STANDARD, "julian", "noleap", "365_day", "all_leap", "366_day", "360_day")
DAYS_PER_YEAR = 365
HOURS_PER_YEAR = 24 * 365.25  # mean of the Julian calendar
FIRST_YEAR, LAST_YEAR = 1678, 2261  # complete years of datetime64[ns]

# days before each month in a year without 29 February
DAYS_BEFORE_MONTH = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334])


def values(times: Any) -> np.ndarray:
    """Times (DataArray, index, list or one time) as a one-dimensional array of datetime64 or cftime."""
    return np.atleast_1d(np.asarray(getattr(times, "values", times)))


def is_dates(times: Any) -> bool:
    """Whether these are dates (datetime64 or cftime)."""
    array = values(times)
    return array.dtype.kind == "M" or (
        array.dtype == object and array.size > 0 and isinstance(array.flat[0], cftime.datetime)
    )


def same_calendar(first: Any, second: Any) -> bool:
    """Whether two axes of time (DataArrays) have one calendar; all names of the standard one are the same."""
    names = (str(axis.dt.calendar) for axis in (first, second))
    return len({"standard" if name in STANDARD else name for name in names}) == 1


def years(times: Any) -> Int[np.ndarray, " time"]:
    """Calendar year of each time."""
    array = values(times)
    if array.dtype.kind == "M":
        return array.astype("M8[Y]").astype(int) + 1970
    return np.array([time.year for time in array], dtype=int)


def in_nanoseconds(times: Any) -> np.ndarray:
    """Times of the standard calendar as datetime64[ns]; unchanged if some lie outside 1678 to 2261, or if
    the calendar is another."""
    array = values(times)
    cftimes = array.dtype.kind != "M"
    if (cftimes and array[0].calendar not in STANDARD) or not representable(array):
        return array
    return np.array(iso(array), dtype="M8[ns]") if cftimes else array.astype("M8[ns]")


def representable(times: Any) -> bool:
    """Whether all years lie in the range of datetime64[ns], 1678 to 2261."""
    number = years(times)
    return bool(((number >= FIRST_YEAR) & (number <= LAST_YEAR)).all())


def iso(times: Any) -> np.ndarray:
    """ISO text to the second, `YYYY-MM-DDTHH:MM:SS`; alphabetical order is chronological order."""
    array = values(times)
    if array.dtype.kind == "M":
        return np.datetime_as_string(array, unit="s")
    return np.array([time.isoformat()[:19] for time in array], dtype=str)


def from_iso(texts: Any) -> np.ndarray:
    """ISO texts of any calendar as datetime64[s]; a date that the standard calendar lacks is the last of its month."""
    texts = np.asarray(texts).astype(str)
    try:
        return texts.astype("M8[s]")
    except ValueError:
        months, days = texts.astype("<U7").astype("M8[M]"), np.array([int(text[8:10]) for text in texts])
        last = ((months + 1).astype("M8[D]") - months.astype("M8[D]")).astype(int)
        clock = np.array([text[10:] for text in texts])
        day = np.minimum(days, last)
        return np.array(
            [f"{m}-{d:02d}{c}" for m, d, c in zip(months, day, clock, strict=True)], dtype="M8[s]"
        )


def positions(times: Any, texts: Any) -> Int[np.ndarray, " texts"]:
    """Index in `times` of each ISO text (to the second); -1 if absent."""
    index = {text: i for i, text in enumerate(iso(times).tolist())}
    return np.array([index.get(str(text), -1) for text in texts], dtype=int)


def date(time: Any) -> str:
    """ISO text of a time, or of the first of several."""
    return str(iso(time)[0])


def without_midnight(time: str) -> str:
    """The ISO text of a time, without the clock time if that is midnight."""
    return time.removesuffix("T00:00:00")


def day_of_year(times: Any) -> Int[np.ndarray, " time"]:
    """Day of the year, 1 to 365; 29 February is 28 February.

    In the calendar `360_day` it is the day of the same month at the same share of its length, so that the months of
    both calendars hold the same times.
    """
    array = values(times)
    if is_360_day_calendar(array):
        month = np.array([time.month - 1 for time in array], dtype=int)
        noon = np.array([2 * time.day - 1 for time in array], dtype=int)  # in halves of a day
        length = np.diff(np.append(DAYS_BEFORE_MONTH, DAYS_PER_YEAR))[month]
        return DAYS_BEFORE_MONTH[month] + noon * length // 60 + 1
    if array.dtype.kind == "M":
        months = array.astype("M8[M]")
        month = months.astype(int) % 12
        day = (array.astype("M8[D]") - months.astype("M8[D]")).astype(int) + 1
    else:
        month = np.array([time.month - 1 for time in array], dtype=int)
        day = np.array([time.day for time in array], dtype=int)
    day = np.where((month == 1) & (day == 29), 28, day)
    return DAYS_BEFORE_MONTH[month] + day


def fraction_of_year(times: Any) -> Float[np.ndarray, " time"]:
    """(dayofyear - 1 + hour / 24) / 365, in [0, 1); in the calendar `360_day`, its own day over 360."""
    array = values(times)
    if array.dtype.kind == "M":
        hour = (array - array.astype("M8[D]")) / np.timedelta64(1, "h")
    else:
        hour = np.array([time.hour + time.minute / 60 + time.second / 3600 for time in array])
    if is_360_day_calendar(array):
        return (np.array([30 * (time.month - 1) + time.day - 1 for time in array]) + hour / 24) / 360
    return (day_of_year(array) - 1 + hour / 24) / DAYS_PER_YEAR


def calendar_of(times: Any) -> str:
    """Name of the calendar of some times."""
    return str(getattr(values(times)[0], "calendar", "standard"))


def days_per_year(calendar: str) -> int:
    """Number of days in a year of a calendar; 365 for calendars in which only some years have 29 February."""
    return {"360_day": 360, "all_leap": 366, "366_day": 366}.get(calendar, DAYS_PER_YEAR)


def days_of_a_year(calendar: str) -> Int[np.ndarray, " day"]:
    """The `day_of_year` of each day of a year: 1 to 365; for the 360 days of the calendar `360_day`, 360 of these."""
    if calendar != "360_day":
        return np.arange(1, DAYS_PER_YEAR + 1)
    return day_of_year(
        [cftime.datetime(2001, 1 + n // 30, 1 + n % 30, calendar=calendar) for n in range(360)]
    )


def is_360_day_calendar(times: Any) -> bool:
    """Whether these are dates of the calendar `360_day`, with twelve months of 30 days."""
    array = values(times)
    return bool(array.dtype == object and array.size and array[0].calendar == "360_day")


def hours(times: Any) -> Float[np.ndarray, " time"]:
    """Hours since the first time."""
    array = values(times)
    if array.dtype.kind == "M":
        return (array - array[0]) / np.timedelta64(1, "h")
    since = cftime.date2num(array, "seconds since 2000-01-01", calendar=array[0].calendar)
    return (since - since[0]) / 3600.0


def later(times: Any, hours: float) -> np.ndarray:
    """Each time shifted forward by a number of hours."""
    array, seconds = values(times), round(hours * 3600)
    if array.dtype.kind == "M":
        return array + np.timedelta64(seconds, "s")
    return array + timedelta(seconds=seconds)


def step_hours(times: Any) -> float:
    """Most common time step [hours]; 0 for a single time."""
    steps = np.round(np.diff(hours(times)), 6)
    if not steps.size:
        return 0.0
    step, count = np.unique(steps, return_counts=True)
    return float(step[np.argmax(count)])
