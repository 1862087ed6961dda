"""Times in any calendar, `datetime64` and `cftime` alike: day and fraction of the year, ISO text, hours, steps.

A day of the year is one of 365, so that it means the same season in every year: 29 February counts as 28 February, and
a day of `360_day` as a day of the same month, of which two days of its February may share one. A time step is a number
of hours or of calendar months.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import cftime
import numpy as np
from jaxtyping import Bool, Float, Int

from fieldcast.errors import InputError, counted

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


def require_same_calendar(times: Any, others: Any, name: str, other_name: str) -> None:
    """Raise an InputError if two axes of time differ in their calendar, which would shift times."""
    if not same_calendar(times, others):
        raise InputError(
            f"the calendar of {name} is '{times.dt.calendar}', that of {other_name} '{others.dt.calendar}': convert "
            "one of them first (xarray's convert_calendar)."
        )


def years(times: Any) -> Int[np.ndarray, " time"]:
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


# The step of a record: a number of hours, or of months of the calendar; and records without a regular step.
#
# A month is as long as it is: one month after 31 January is 28 or 29 February. Where a number of hours is needed, as
# for a lead time in a table, a month counts as 730, a twelfth of 365 days.


MONTH = 730  # hours
UNITS = {"hour": 1.0, "day": 24.0, "month": float(MONTH), "year": 12.0 * MONTH}  # hours
SYMBOLS = {"hour": "h", "day": "d", "month": "mo", "year": "yr"}
MAX_MONTH_OFFSET = timedelta(
    days=4
)  # largest deviation of monthly times from a fixed position in their months
ROUNDING_UNITS = (60, 5.0), (3600, 300.0)  # unit that times were rounded to, and largest error [s]


class TimeStep(NamedTuple):
    """The interval between two times of a record.

    `months` is 0 for a step in hours; `hours` is nominal for a step in months, and 0 where no step is regular.
    `same_day` holds if monthly times keep to a day of the month more closely than to its middle or its end, which a
    single 15 or 28 February leaves open.
    """

    hours: float
    months: int = 0
    same_day: bool = False

    @classmethod
    def stored_in(cls, attrs: Mapping[str, Any]) -> TimeStep:
        """The step in the attributes of fields, starts, or a checkpoint."""
        same_day = bool(attrs.get("step_same_day", False))
        return cls(float(attrs["step_hours"]), int(attrs.get("step_months", 0)), same_day)

    @classmethod
    def of(cls, fields: Any) -> TimeStep:
        """The step of fields (a Dataset): the stored one, else that of their times."""
        return cls.stored_in(fields.attrs) if "step_hours" in fields.attrs else step_of(fields["time"])

    def attrs(self) -> dict[str, float | int]:
        """The step as attributes: `step_hours`; for months also `step_months` and, if it holds, `step_same_day`."""
        months: dict[str, float | int] = {"step_months": self.months} if self.months else {}
        return {"step_hours": self.hours} | months | ({"step_same_day": 1} if self.same_day else {})

    def __str__(self) -> str:
        if not self.hours:
            return "no regular step"
        if not self.months:
            return "1 hour" if self.hours == 1 else f"{self.hours:g} hours"
        number, unit = (self.months, "month") if self.months % 12 else (self.months // 12, "year")
        return counted(number, unit)

    @property
    def lead(self) -> tuple[float, dict[str, str]]:
        """The lead of one step and its attributes: hours, or a count of months, which CF has no standard name for."""
        if self.months:
            return float(self.months), {"long_name": "lead time in months of the calendar", "units": "months"}
        return self.hours, {"standard_name": "forecast_period", "units": "hours"}

    def after(self, times: Any, number: int = 1) -> np.ndarray:
        """Each time, `number` steps later."""
        if self.months:
            return months_later(times, number * self.months, self.same_day)
        return later(times, number * self.hours)

    def counts(self, times: Any) -> Float[np.ndarray, " steps"]:
        """Number of steps between successive times; whole numbers in a regular record."""
        if self.months:
            return np.diff(month_numbers(times)) / self.months
        return np.diff(hours(times)) / self.hours

    def positions(self, times: Any, sought: Any) -> Int[np.ndarray, " sought"]:
        """Index in `times` of each time sought, -1 if absent: of the same second, or in the same month."""
        if self.months:
            index = {number: position for position, number in enumerate(month_numbers(times).tolist())}
            return np.array([index.get(number, -1) for number in month_numbers(sought).tolist()], dtype=int)
        return positions(times, iso(sought))


def step_of(times: Any) -> TimeStep:
    """The most common step of a record in order: months if times fall at the same point of their months, else hours.

    No step (0 hours) for a single time.
    """
    if values(times).size < 2:
        return TimeStep(0.0)
    months = most_common(np.diff(month_numbers(times)))
    if months >= 1 and in_months(times, int(months)):
        to_day, to_middle, to_end = ranges_in_months(times)
        return TimeStep(float(MONTH * months), int(months), bool(2 * to_day <= min(to_middle, 2 * to_end)))
    return TimeStep(step_hours(times))


def in_months(times: Any, months: int) -> bool:
    """Whether the times are whole multiples of some months apart: first of the month, middle or end."""
    array = values(times)
    numbers = month_numbers(array)
    if np.any(np.diff(numbers) < 1) or np.any((numbers - numbers[0]) % months):
        return False
    return bool(min(ranges_in_months(array)) <= span(MAX_MONTH_OFFSET, array))


def ranges_in_months(times: Any) -> tuple[Any, Any, Any]:
    """Ranges (largest minus smallest) of the time since the month began, of twice that from its middle, until its end.

    The range of times on the same day of each month is 0 for the first, of times in the middle for the second.
    """
    since, until = from_month_ends(values(times))
    return tuple(np.max(offset) - np.min(offset) for offset in (since, since - until, until))


def rounded_times(times: Any) -> np.ndarray | None:
    """The times to the minute or the hour, if only that makes their step regular; else None.

    Hours stored as days with five digits (.04167) are half a second off; as single precision, minutes.
    """
    array = values(times)
    if array.size < 3 or is_regular(array):
        return None
    midnight = midnight_before(array[0])
    seconds = 3600 * hours(np.concatenate([[midnight], array]))[1:]
    for unit, tolerance in ROUNDING_UNITS:
        whole = np.round(seconds / unit) * unit
        moved = midnight + np.array([span(timedelta(seconds=s), array) for s in whole.tolist()])
        if np.abs(whole - seconds).max() <= tolerance and is_regular(moved):
            return moved
    return None


def with_rounded_times(dataset: Any) -> Any:
    """A Dataset whose times are moved as `rounded_times` says."""
    times = rounded_times(dataset["time"])
    return dataset if times is None else dataset.assign_coords(time=("time", times, dataset["time"].attrs))


def is_regular(times: Any) -> bool:
    """Whether all intervals are whole multiples of the most common one."""
    step = step_of(times)
    return bool(step.hours and regular(step.counts(times)).all())


def regular(counts: Float[np.ndarray, " steps"]) -> Bool[np.ndarray, " steps"]:
    """Whether each count of steps is whole and at least 1."""
    return (counts > 1 - 1e-6) & (np.abs(counts - np.round(counts)) < 1e-6)


def months_later(times: Any, months: int, same_day: bool = False) -> np.ndarray:
    """Each time, some calendar months later: in the middle or on the last day if all are, else on the same day.

    With `same_day`, times that share one day of the month, such as a single 15 February, stay on it. A day that the
    later month does not have becomes its last.
    """
    array = values(times)
    numbers = month_numbers(array)
    start, first, last = (month_starts(n, array) for n in (numbers, numbers + months, numbers + months + 1))
    offset, day = array - start, span(timedelta(days=1), array)
    if not (same_day and np.all(offset == offset[:1])):
        if in_the_middle(array):
            return first + (last - first) // 2
        if on_the_last_day(array):
            return last - (month_starts(numbers + 1, array) - array)
    return first + np.minimum(offset, last - first - day + offset % day)


def in_the_middle(times: Any) -> bool:
    """Whether all times lie in the middle of their months, to the minute."""
    array = values(times)
    since, until = from_month_ends(array)
    return bool(np.all(np.abs(since - until) <= span(timedelta(minutes=1), array)))


def on_the_last_day(times: Any) -> bool:
    """Whether all times lie on the last day of their months."""
    array = values(times)
    return bool(np.all(from_month_ends(array)[1] <= span(timedelta(days=1), array)))


def from_month_ends(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Time since the beginning of each month, and time until its end."""
    numbers = month_numbers(times)
    return times - month_starts(numbers, times), month_starts(numbers + 1, times) - times


def month_numbers(times: Any) -> Int[np.ndarray, " time"]:
    """Months since the year 0."""
    array = values(times)
    if array.dtype.kind == "M":
        return array.astype("M8[M]").astype(int) + 12 * 1970
    return np.array([12 * time.year + time.month - 1 for time in array], dtype=int)


def month_starts(numbers: Int[np.ndarray, " time"], times: np.ndarray) -> np.ndarray:
    """The first instant of months counted from the year 0, in the calendar and type of `times`."""
    if times.dtype.kind == "M":
        return (numbers - 12 * 1970).astype("M8[M]").astype("M8[s]")
    like = times[0]
    return np.array([like.replace(year=n // 12, month=n % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0)
                     for n in numbers.tolist()], dtype=object)  # fmt: skip


def span(duration: timedelta, times: np.ndarray) -> Any:
    """A duration that can be added to these times."""
    return np.timedelta64(duration) if times.dtype.kind == "M" else duration


def midnight_before(time: Any) -> Any:
    """The beginning of a day."""
    if isinstance(time, np.datetime64):
        return time.astype("M8[D]").astype("M8[s]")
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def most_common(values: np.ndarray) -> Any:
    """The most frequent value, the lowest of several."""
    distinct, count = np.unique(values, return_counts=True)
    return distinct[np.argmax(count)]


def lead_label(hours: float) -> str:
    """A lead time with the symbol of its unit: 3 d."""
    size, unit = nominal(hours)
    return f"{size:.4g} {SYMBOLS[unit]}"


def lead_text(hours: float) -> str:
    """A lead time in words: 3 days."""
    size, unit = nominal(hours)
    return f"{size:.4g} {unit}{'' if size == 1 else 's'}"


def nominal(hours: float) -> tuple[float, str]:
    """A lead time in years or months of the calendar, in days, or below one day in hours: number and unit.

    730 hours are a month, so that a lead of 365 days is called a year.
    """
    unit = unit_of(hours)
    return hours / UNITS[unit], unit


def unit_of(hours: float) -> str:
    if hours > 0 and hours % MONTH == 0:
        return "year" if hours % UNITS["year"] == 0 else "month"
    return "day" if hours >= UNITS["day"] else "hour"
