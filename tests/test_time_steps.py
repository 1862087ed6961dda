"""Steps of the calendar against pandas offsets and cftime."""

from itertools import pairwise

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast import calendars
from fieldcast.calendars import TimeStep, step_of


def middles(calendar: str = "standard", months: int = 40) -> np.ndarray:
    """Middles of successive months, as CMIP writes them."""
    edges = xr.date_range("2000-01-01", periods=months + 1, freq="MS", calendar=calendar, use_cftime=True)
    values = np.array([first + (last - first) / 2 for first, last in pairwise(edges)])
    return calendars.in_nanoseconds(values)


RECORDS = {
    "6h": (pd.date_range("2001-01-01", periods=40, freq="6h"), TimeStep(6.0)),
    "days": (pd.date_range("2001-01-01", periods=40), TimeStep(24.0)),
    "30 days": (pd.date_range("2001-01-31", periods=40, freq="30D"), TimeStep(720.0)),
    "first of the month": (pd.date_range("2001-01-01", periods=40, freq="MS"), TimeStep(730.0, 1, True)),
    "last of the month": (pd.date_range("2001-01-31", periods=40, freq="ME"), TimeStep(730.0, 1)),
    "middle of the month": (middles(), TimeStep(730.0, 1)),
    "seasons": (pd.date_range("2000-12-01", periods=40, freq="QS-DEC"), TimeStep(2190.0, 3, True)),
    "years": (pd.date_range("1960-07-01", periods=40, freq="YS-JUL"), TimeStep(8760.0, 12, True)),
    "360_day": (middles("360_day"), TimeStep(730.0, 1, True)),
    "julian": (middles("julian"), TimeStep(730.0, 1)),
    "a twelfth of 365 days": (
        cftime.num2date((np.arange(40) + 0.5) * 365 / 12, "days since 2001-01-01", "noleap"), TimeStep(730.0, 1),
    ),
    "one time": (pd.date_range("2001-01-01", periods=1), TimeStep(0.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_the_step_of_a_record_and_the_times_it_leads_to(name):
    times, step = RECORDS[name]
    assert step_of(times) == step
    assert TimeStep.stored_in(step.attrs()) == step
    if step.hours and name != "a twelfth of 365 days":
        for number in (1, 5):
            assert np.array_equal(
                step.after(times[:-5], number), np.asarray(times)[number : -5 + number or None]
            )
    if step.hours:
        assert calendars.regular(step.counts(times)).all()
        places = step.positions(times, step.after(times[:-5], 5))
        assert np.array_equal(places, np.arange(5, len(times)))
        assert step.positions(times, step.after(times[-1:], 1)).tolist() == [-1]


def test_a_day_that_a_month_lacks_is_its_last():
    times = np.array(["2001-01-30T06", "2001-01-05T06"], "M8[ns]")
    expected = [pd.Timestamp(time) + pd.DateOffset(months=1) for time in times]
    assert calendars.months_later(times, 1).tolist() == np.array(expected, "M8[ns]").tolist()


FIRSTS = pd.date_range("2000-03-01", periods=40, freq="MS")
LASTS = pd.date_range("2000-03-31", periods=40, freq="ME")
WITHOUT_29_FEBRUARY = LASTS.where(LASTS.strftime("%m-%d") != "02-29", LASTS - pd.Timedelta(days=1))
RECORDS_OF_MONTHS = {  # times, and whether they keep to a day of the month
    "on the first": (FIRSTS, True),
    "on the 15th": (FIRSTS + pd.Timedelta(days=14), True),
    "on the 28th": (FIRSTS + pd.Timedelta(days=27), True),
    "in the middle": (middles(), False),
    "on the last day": (LASTS, False),
    "on the last day of noleap": (WITHOUT_29_FEBRUARY, False),
}


@pytest.mark.parametrize("name", RECORDS_OF_MONTHS)
def test_a_single_february_is_continued_like_its_record(name):
    """15 February is a middle, 28 February a last day: the record tells whether the next month's is one."""
    times, same_day = RECORDS_OF_MONTHS[name]
    times, step = np.asarray(times), TimeStep.stored_in(step_of(times).attrs())
    assert step.same_day == same_day
    for february in np.flatnonzero(pd.DatetimeIndex(times).month == 2).tolist():
        alone = times[february : february + 1]
        if name.endswith("noleap") and pd.Timestamp(alone[0]).is_leap_year:
            continue
        later = np.concatenate([step.after(alone, number) for number in (1, 2)])
        assert np.array_equal(later, times[february + 1 : february + 3])


def test_middles_of_noleap_months_are_middles_in_the_standard_calendar():
    times = calendars.from_iso(calendars.iso(middles("noleap", 60)))
    step = step_of(times)
    assert step == TimeStep(730.0, 1)
    january = np.array(["2003-01-16T12:00:00"], "M8[s]")
    assert step.after(january).tolist() == np.array(["2003-02-15"], "M8[s]").tolist()


def test_times_of_another_record_keep_their_own_place_in_the_month():
    """A model of data on the first of the month, and states from the middle of several months."""
    times = middles()
    assert np.array_equal(TimeStep(730.0, 1, True).after(times[:-1]), times[1:])


def test_missing_months_are_counted():
    times = np.delete(np.asarray(RECORDS["first of the month"][0]), [3, 4, 20])
    assert step_of(times) == TimeStep(730.0, 1, True)
    assert sorted(step_of(times).counts(times).tolist())[-3:] == [1, 2, 3]


def test_days_of_winters_are_days_and_weeks_no_months():
    winters = pd.date_range("2001-01-01", "2009-12-31")
    assert step_of(winters[winters.month.isin([12, 1, 2])]) == TimeStep(24.0)
    assert step_of(pd.date_range("2001-01-01", periods=200, freq="7D")) == TimeStep(168.0)


@pytest.mark.parametrize(("digits", "hours"), [(5, 1), (5, 2), (4, 1)])
def test_hours_that_were_rounded_as_days_become_hours(digits, hours):
    days = np.round(np.arange(0, 20, hours / 24), digits)
    times = np.asarray(
        xr.decode_cf(xr.Dataset(coords={"time": ("time", days, {"units": "days since 2001-01-01"})}))["time"]
    )
    expected = pd.date_range("2001-01-01", periods=len(days), freq=f"{hours}h")
    assert np.array_equal(calendars.rounded_times(times), expected)
    noleap = cftime.num2date(days, "days since 2001-01-01", "noleap")
    assert calendars.iso(calendars.rounded_times(noleap)).tolist() == calendars.iso(expected).tolist()


def test_regular_and_irregular_times_stay_as_they_are():
    regular = pd.date_range("2001-01-01", periods=40, freq="37s")
    assert calendars.rounded_times(regular) is None
    irregular = regular + pd.to_timedelta(np.random.default_rng(0).integers(0, 9000, 40), "s").sort_values()
    assert calendars.rounded_times(irregular) is None


def test_steps_and_leads_in_words():
    steps = [(6.0,), (1.0,), (730.0, 1), (2190.0, 3), (17520.0, 24), (0.0,)]
    words = ["6 hours", "1 hour", "1 month", "3 months", "2 years", "no regular step"]
    assert [str(TimeStep(*step)) for step in steps] == words
    hours = [6.0, 24.0, 730.0, 2190.0, 8760.0]
    assert [calendars.nominal(h) for h in hours] == [
        (6.0, "hour"), (1.0, "day"), (1.0, "month"), (3.0, "month"), (1.0, "year"),
    ]  # fmt: skip


def test_every_day_of_360_has_a_place_in_the_year():
    times = xr.date_range("2001-01-01", periods=720, freq="D", calendar="360_day", use_cftime=True)
    days = calendars.day_of_year(times)
    assert (
        days[0] == 1
        and days[359] == 365
        and np.all(np.diff(days[:360]) >= 0)
        and np.array_equal(days[:360], days[360:])
    )
    months = pd.to_datetime(days[:360], unit="D", origin="2000-12-31").month
    assert np.array_equal(months, np.arange(360) // 30 + 1)
    assert np.allclose(calendars.fraction_of_year(times)[:360], np.arange(360) / 360)
