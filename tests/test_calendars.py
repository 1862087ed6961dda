"""Days of the year against pandas and cftime, in years with and without 29 February."""

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast import calendars


def test_day_of_year_is_pandas_in_ordinary_years() -> None:
    times = pd.date_range("2001-01-01", "2003-12-31")
    assert np.array_equal(calendars.day_of_year(times), times.dayofyear)


def test_29_february_is_28_february_and_later_days_keep_their_season() -> None:
    leap, ordinary = pd.date_range("2004-01-01", "2004-12-31"), pd.date_range("2005-01-01", "2005-12-31")
    days = calendars.day_of_year(leap)
    assert days[59] == days[58] == 59
    assert np.array_equal(np.delete(days, 59), calendars.day_of_year(ordinary))
    assert calendars.day_of_year(np.datetime64("2004-12-31"))[0] == 365


def test_noleap_agrees_with_cftime() -> None:
    times = xr.date_range("2003-01-01", periods=800, freq="D", calendar="noleap", use_cftime=True)
    assert np.array_equal(calendars.day_of_year(times), [time.dayofyr for time in times])


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_fraction_of_year(calendar: str) -> None:
    times = xr.date_range("2001-01-01", periods=4 * 365, freq="6h", calendar=calendar)
    assert np.allclose(calendars.fraction_of_year(times), np.arange(4 * 365) / (4 * 365))


def test_iso_sorts_as_time_and_is_the_same_in_both_kinds() -> None:
    kinds = [
        xr.date_range("0099-12-30", periods=5, calendar="noleap", use_cftime=True),
        pd.date_range("1999-12-30", periods=5),
    ]
    early, late = (calendars.iso(kind) for kind in kinds)
    assert list(early) == sorted(early) and list(late) == sorted(late)
    assert early[2] == "0100-01-01T00:00:00" and late[2] == "2000-01-01T00:00:00"


def test_hours_and_step() -> None:
    noleap = xr.date_range("2004-02-28", periods=3, freq="6h", calendar="noleap", use_cftime=True)
    assert np.allclose(calendars.hours(noleap), [0, 6, 12])
    across = [cftime.DatetimeNoLeap(2004, 2, 28), cftime.DatetimeNoLeap(2004, 3, 1)]
    assert np.allclose(calendars.hours(np.array(across)), [0, 24])
    times = pd.to_datetime(["2001-01-01", "2001-01-02", "2001-01-03", "2001-01-07"])
    assert calendars.step_hours(times) == 24.0
    assert calendars.step_hours(times[:1]) == 0.0


def test_is_dates() -> None:
    assert calendars.is_dates(pd.date_range("2001", periods=2))
    assert calendars.is_dates(np.array([cftime.DatetimeNoLeap(2001, 1, 1)]))
    assert not calendars.is_dates(np.arange(3))
    assert not calendars.is_dates(np.array(["2001"], dtype=object))


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_positions_are_where_the_times_stand(calendar: str) -> None:
    times = xr.date_range("0999-12-30", periods=9, freq="6h", calendar=calendar, use_cftime=True)
    index = [2, 0, 8]
    assert calendars.positions(times, calendars.iso(times)[index]).tolist() == index
    assert calendars.positions(times, ["0999-12-30T01:00:00", "0999-12-30T06:00:00"]).tolist() == [-1, 1]
    assert calendars.positions(times, []).tolist() == []


def test_texts_of_any_calendar_become_dates() -> None:
    assert (
        calendars.from_iso(["2001-02-03T06:00:00"]).tolist() == np.array(["2001-02-03T06"], "M8[s]").tolist()
    )
    moved = calendars.from_iso(["2001-02-28T00:00:00", "2001-02-30T06:00:00"])
    assert moved.tolist() == np.array(["2001-02-28", "2001-02-28T06"], "M8[s]").tolist()
