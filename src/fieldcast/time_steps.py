"""The step of a record: a number of hours, or of months of the calendar; and records without a regular step.

A month is as long as it is: one month after 31 January is 28 or 29 February. Where a number of hours is needed, as for
a lead time in a table, a month counts as 730, a twelfth of 365 days.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from fieldcast import calendars
from fieldcast.counted import counted

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
        return calendars.later(times, number * self.hours)

    def counts(self, times: Any) -> Float[np.ndarray, " steps"]:
        """Number of steps between successive times; whole numbers in a regular record."""
        if self.months:
            return np.diff(month_numbers(times)) / self.months
        return np.diff(calendars.hours(times)) / self.hours

    def positions(self, times: Any, sought: Any) -> Int[np.ndarray, " sought"]:
        """Index in `times` of each time sought, -1 if absent: of the same second, or in the same month."""
        if self.months:
            index = {number: position for position, number in enumerate(month_numbers(times).tolist())}
            return np.array([index.get(number, -1) for number in month_numbers(sought).tolist()], dtype=int)
        return calendars.positions(times, calendars.iso(sought))


def step_of(times: Any) -> TimeStep:
    """The most common step of a record in order: months if times fall at the same point of their months, else hours.

    No step (0 hours) for a single time.
    """
    if calendars.values(times).size < 2:
        return TimeStep(0.0)
    months = most_common(np.diff(month_numbers(times)))
    if months >= 1 and in_months(times, int(months)):
        to_day, to_middle, to_end = ranges_in_months(times)
        return TimeStep(float(MONTH * months), int(months), bool(2 * to_day <= min(to_middle, 2 * to_end)))
    return TimeStep(calendars.step_hours(times))


def in_months(times: Any, months: int) -> bool:
    """Whether the times are whole multiples of some months apart: first of the month, middle or end."""
    array = calendars.values(times)
    numbers = month_numbers(array)
    if np.any(np.diff(numbers) < 1) or np.any((numbers - numbers[0]) % months):
        return False
    return bool(min(ranges_in_months(array)) <= span(MAX_MONTH_OFFSET, array))


def ranges_in_months(times: Any) -> tuple[Any, Any, Any]:
    """Ranges (largest minus smallest) of the time since the month began, of twice that from its middle, until its end.

    The range of times on the same day of each month is 0 for the first, of times in the middle for the second.
    """
    since, until = from_month_ends(calendars.values(times))
    return tuple(np.max(offset) - np.min(offset) for offset in (since, since - until, until))


def rounded_times(times: Any) -> np.ndarray | None:
    """The times to the minute or the hour, if only that makes their step regular; else None.

    Hours stored as days with five digits (.04167) are half a second off; as single precision, minutes.
    """
    array = calendars.values(times)
    if array.size < 3 or is_regular(array):
        return None
    midnight = midnight_before(array[0])
    seconds = 3600 * calendars.hours(np.concatenate([[midnight], array]))[1:]
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
    array = calendars.values(times)
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
    array = calendars.values(times)
    since, until = from_month_ends(array)
    return bool(np.all(np.abs(since - until) <= span(timedelta(minutes=1), array)))


def on_the_last_day(times: Any) -> bool:
    """Whether all times lie on the last day of their months."""
    array = calendars.values(times)
    return bool(np.all(from_month_ends(array)[1] <= span(timedelta(days=1), array)))


def from_month_ends(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Time since the beginning of each month, and time until its end."""
    numbers = month_numbers(times)
    return times - month_starts(numbers, times), month_starts(numbers + 1, times) - times


def month_numbers(times: Any) -> Int[np.ndarray, " time"]:
    """Months since the year 0."""
    array = calendars.values(times)
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
    """The unit of a lead time."""
    if hours > 0 and hours % MONTH == 0:
        return "year" if hours % UNITS["year"] == 0 else "month"
    return "day" if hours >= UNITS["day"] else "hour"
