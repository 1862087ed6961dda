"""Maps show fields minus the climatology of their own day."""

from __future__ import annotations

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.calendars import TimeStep
from fieldcast.tasks.scoring_inputs import example_anomalies, snapshot_anomalies

GRID = {"latitude": [-30.0, 30.0], "longitude": [0.0, 120.0, 240.0]}


@pytest.fixture
def climatology() -> xr.Dataset:
    """The climatology of day d is d in every cell."""
    values = np.broadcast_to(np.arange(1.0, 366.0)[:, None, None], (365, 2, 3)).astype("float32")
    days = np.arange(1, 366)
    return xr.Dataset({"z": (("dayofyear", "latitude", "longitude"), values)}, {"dayofyear": days, **GRID})


def test_all_kinds_but_the_spread_lose_the_climatology(climatology):
    kinds = ["truth", "observed", "mean", "member", "spread"]
    values = np.full((2, 2, 5, 2, 3), 100.0, dtype="float32")
    values[..., 1, :, 2] = np.nan
    dims = ("case", "time", "kind", "latitude", "longitude")
    times = pd.DatetimeIndex(["2001-01-10", "2001-02-01"])
    examples = xr.Dataset({"z": (dims, values, {"units": "m"})}, {"kind": kinds, "time": times, **GRID})
    anomalies = example_anomalies(examples, climatology)
    assert (
        anomalies["z"].dims == dims
        and anomalies["z"].attrs == {"units": "m"}
        and anomalies.attrs == {"anomaly": 1}
    )
    for number, day in enumerate((10, 32)):
        of_time = anomalies["z"].isel(case=1, time=number)
        np.testing.assert_array_equal(of_time.sel(kind="mean"), 100.0 - day)
        np.testing.assert_array_equal(of_time.sel(kind="spread"), 100.0)
    np.testing.assert_array_equal(np.isnan(anomalies["z"]), np.isnan(examples["z"]))


def test_snapshots_lose_the_climatology_of_the_day_at_which_they_are_valid(climatology):
    starts = [cftime.DatetimeNoLeap(11, 1, 1), cftime.DatetimeNoLeap(11, 12, 31)]
    dims = ("step", "start", "member", "latitude", "longitude")
    snapshots = xr.Dataset(
        {"z": (dims, np.zeros((2, 2, 1, 2, 3), "float32"))}, {"step": [1, 40], "start": starts, **GRID}
    )
    anomalies = snapshot_anomalies(snapshots, climatology, TimeStep(24.0))
    assert anomalies["z"].dims == dims
    days = -anomalies["z"].isel(member=0, latitude=0, longitude=0).to_numpy()
    np.testing.assert_array_equal(days, [[2, 1], [41, 40]])


def test_the_anomaly_of_an_angle_is_along_the_shorter_arc_for_the_truth(climatology):
    """The mean direction of 1 January is 1 degree: 359 is 2 degrees before it, and a mean of 362 one degree after."""
    attrs = {"units": "degree", "standard_name": "wind_from_direction"}
    values = np.array([359.0, 359.0, 362.0, 355.0, 4.0], "float32")[None, None, :, None, None] * np.ones(
        (1, 1, 1, 2, 3), "float32"
    )
    kinds = {"kind": ["truth", "observed", "mean", "member", "spread"]}
    times = {"time": pd.DatetimeIndex(["2001-01-01"])}
    dims = ("case", "time", "kind", "latitude", "longitude")
    examples = xr.Dataset({"z": (dims, values, attrs)}, {**kinds, **times, **GRID})
    anomalies = example_anomalies(examples, climatology)["z"].isel(case=0, time=0, latitude=0, longitude=0)
    np.testing.assert_allclose(anomalies, [-2.0, -2.0, 1.0, -6.0, 4.0])
    assert anomalies.attrs == attrs
