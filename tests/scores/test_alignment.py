from __future__ import annotations

from collections.abc import Callable

import cftime
import numpy as np
import pytest
import xarray as xr

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.errors import InputError
from fieldcast.scores.alignment import AlignedForecasts, lead_hours, valid_indices


@pytest.mark.parametrize("cftime", [False, True])
def test_the_truth_is_that_of_start_plus_lead(season: Callable, cftime: bool) -> None:
    evaluation = season(starts=8, leads=3, cftime=cftime)
    aligned = AlignedForecasts.of(evaluation.forecasts, evaluation.truth, ["z", "t"])
    np.testing.assert_array_equal(aligned.indices, 13 * np.arange(8) + np.arange(1, 4)[:, None])
    (_, y, days), *_, (x, last, _) = aligned.pairs("t")
    np.testing.assert_array_equal(y, evaluation.truth["t"].isel(time=13 * np.arange(8) + 1))
    np.testing.assert_array_equal(last, evaluation.truth["t"].isel(time=13 * np.arange(8) + 3))
    np.testing.assert_array_equal(x, evaluation.forecasts["t"].isel(lead=2).transpose("member", "start", ...))
    assert days[:2].tolist() == [355, 3]


def test_leads_may_be_spans_of_time_and_parts_of_days() -> None:
    spans = xr.DataArray(np.array([6, 12], "timedelta64[h]").astype("timedelta64[ns]"), dims="lead")
    assert lead_hours(spans).tolist() == [6.0, 12.0]
    time = xr.DataArray(
        np.arange("2001-01-01", "2001-01-03", 6, dtype="datetime64[h]").astype("M8[ns]"), dims="time"
    )
    assert valid_indices(time[:2], np.array([6.0, 42.0, 7.0]), time, TimeStep(6.0)).tolist() == [
        [1, 2],
        [7, -1],
        [-1, -1],
    ]


def test_leads_in_months_meet_the_month_whatever_its_day() -> None:
    time = xr.DataArray(
        np.array(["2001-01-16T12", "2001-02-15", "2001-03-16T12", "2001-05-16T12"], "M8[ns]"), dims="time"
    )
    lead = xr.DataArray([1, 2], dims="lead", attrs={"units": "months"})
    assert lead_hours(lead).tolist() == [730.0, 1460.0]
    assert valid_indices(time[:2], lead_hours(lead), time, TimeStep(730.0, 1)).tolist() == [[1, 2], [2, -1]]


def test_29_february_is_28_february() -> None:
    days = np.array(["2004-02-28", "2004-02-29", "2004-03-01", "2003-03-01", "2004-12-31"], "M8[ns]")
    assert calendars.day_of_year(xr.DataArray(days, dims="time")).tolist() == [59, 59, 60, 60, 365]
    noleap = [cftime.DatetimeNoLeap(2004, 3, 1), cftime.DatetimeNoLeap(2004, 12, 31)]
    assert calendars.day_of_year(xr.DataArray(noleap, dims="time")).tolist() == [60, 365]


def test_a_missing_truth_at_a_valid_time_is_reported(season: Callable) -> None:
    evaluation = season(starts=4)
    cut = evaluation.truth.isel(time=slice(13 * 3 + 2))
    with pytest.raises(InputError, match="48 h after 2004-01-28T00:00:00"):
        AlignedForecasts.of(evaluation.forecasts, cut, ["z"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.drop_vars("t"), "lack the variable t"),
        (lambda data: data.assign(z=data["z"].assign_attrs(units="km")), "z in km, the fields in m"),
        (lambda data: data.isel(latitude=slice(None, None, -1)), "the latitudes of the forecasts are"),
        (lambda data: data.isel(longitude=slice(3)), "the longitudes of the forecasts are"),
        (lambda data: data.convert_calendar("noleap", dim="start", use_cftime=True), "calendar noleap"),
    ],
)
def test_forecasts_of_something_else_are_refused(season: Callable, change: Callable, message: str) -> None:
    evaluation = season(starts=4)
    with pytest.raises(InputError, match=message):
        AlignedForecasts.of(change(evaluation.forecasts), evaluation.truth, ["z", "t"])
