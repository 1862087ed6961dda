"""Scores of ensembles made elsewhere: members that are NaN, starts that occur twice, leads without a unit."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import fieldcast
from fieldcast.errors import InputError


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    rng = np.random.default_rng(0)
    values = 280 + rng.normal(size=(800, 3, 4)).cumsum(0) / 5 % 10
    return xr.Dataset(
        {"t": (("time", "latitude", "longitude"), values.astype("f4"), {"units": "K"})},
        {
            "time": pd.date_range("2001-01-01", periods=800),
            "latitude": ("latitude", np.arange(40.0, 46, 2), {"units": "degrees_north"}),
            "longitude": ("longitude", np.arange(0.0, 8, 2), {"units": "degrees_east"}),
        },
    )


@pytest.fixture(scope="module")
def forecasts(truth: xr.Dataset) -> xr.Dataset:
    """Five members at two leads from ten starts: truth and noise."""
    rng, starts = np.random.default_rng(1), truth["time"].values[600:640:4]
    values = np.stack(
        [[truth["t"].sel(time=s + np.timedelta64(n, "D")).values for n in (1, 2)] for s in starts]
    )
    members = values[:, :, None] + rng.normal(size=(10, 2, 5, 3, 4))
    dims = ("time", "lead", "member", "latitude", "longitude")
    return xr.Dataset(
        {"t": (dims, members.astype("f4"), {"units": "K"})},
        {"time": starts, "lead": ("lead", [24, 48], {"units": "hours"}), **truth.drop_vars("time").coords},
    )


@pytest.fixture(scope="module")
def one_missing(forecasts: xr.Dataset) -> xr.Dataset:
    spoilt = forecasts.copy(deep=True)
    spoilt["t"][{"member": 3, "time": 4, "lead": 1}] = np.nan
    return spoilt


def value(board: pd.DataFrame, score: str, lead: float) -> float:
    row = board.query("region == 'domain' and variable == 't' and score == @score and lead_hours == @lead")
    return float(row["value"].iloc[0])


def test_a_member_that_is_nan_is_refused_by_start_and_member(
    truth: xr.Dataset, one_missing: xr.Dataset
) -> None:
    with pytest.raises(
        InputError, match=r"\(member 3, counted from 0, at the start 2002-09-09.*; at 1 start in all\)"
    ):
        fieldcast.score(truth, one_missing)


def test_a_start_is_scored_without_a_member_that_is_nan(
    truth: xr.Dataset, forecasts: xr.Dataset, one_missing: xr.Dataset
) -> None:
    """The mean squared error is that of the remaining members' mean there."""
    board = fieldcast.score(truth, one_missing, nan_policy="omit")
    area = np.cos(np.deg2rad(truth["latitude"].values))[:, None]
    squared = []
    for start in range(10):
        members = [m for m in range(5) if (start, m) != (4, 3)]
        one = forecasts.isel(time=start, lead=0, member=members)
        error = one["t"].mean("member") - truth["t"].sel(time=one["time"] + np.timedelta64(24, "h"))
        squared.append(float((error**2 * area).sum() / (area * np.ones((3, 4))).sum()))
    assert value(board, "rmse", 24) == pytest.approx(np.sqrt(np.mean(squared)), rel=1e-4)
    without = forecasts.isel(time=[0, 1, 2, 3, 5, 6, 7, 8, 9])
    assert value(board, "crps", 48) != value(fieldcast.score(truth, without), "crps", 48)
    assert np.isinf(value(fieldcast.score(truth, one_missing, nan_policy="propagate"), "rmse", 48))
    whole = fieldcast.score(truth, forecasts, nan_policy="omit")
    pd.testing.assert_frame_equal(whole, fieldcast.score(truth, forecasts))


def test_nothing_is_left_of_a_start_whose_members_are_all_nan(
    truth: xr.Dataset, forecasts: xr.Dataset
) -> None:
    spoilt = forecasts.copy(deep=True)
    spoilt["t"][{"time": 4}] = np.nan
    with pytest.raises(InputError, match="all members of the draws are NaN at the start 2002-09-09"):
        fieldcast.score(truth, spoilt, nan_policy="omit")
    with pytest.raises(InputError, match="nan_policy"):
        fieldcast.score(truth, forecasts, nan_policy="ignore")  # type: ignore[arg-type]


def test_a_start_that_occurs_twice(truth: xr.Dataset, forecasts: xr.Dataset) -> None:
    twice = xr.concat([forecasts, forecasts.isel(time=[4, 5])], "time")
    with pytest.raises(
        InputError, match=r"the start 2002-09-09.* occurs twice in the forecasts \(2 such starts\)"
    ):
        fieldcast.score(truth, twice)


@pytest.mark.parametrize(
    ("lead", "attrs"),
    [
        (np.array([24, 48]) * 3600 * 10**9, {}),
        (np.array([24, 48]) * 3600 * 10**9, {"units": "ns"}),
        (np.array([24, 48]) * 60, {"units": "min"}),
        (np.array([24, 48], "m8[h]").astype("m8[ns]"), {}),
        (np.array([24, 48]), {}),
    ],
)
def test_leads_are_read_as_what_they_are(
    truth: xr.Dataset, forecasts: xr.Dataset, lead: Any, attrs: dict[str, str]
) -> None:
    other = forecasts.assign_coords(lead=("lead", lead, attrs)).rename(lead="prediction_timedelta")
    pd.testing.assert_frame_equal(fieldcast.score(truth, other), fieldcast.score(truth, forecasts))
