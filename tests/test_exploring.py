"""A first look: counts are those of a known truth, results those of the functions that it is made of."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import fieldcast
from fieldcast.report.exploration import Exploration

TIMES, Y, X = 80, 4, 5


def record(missing: float, seed: int = 0, start: str = "2001-01-01") -> xr.Dataset:
    """Two waves with red noise in time; a share of the values is missing."""
    rng = np.random.default_rng(seed)
    amplitude = np.zeros((TIMES, 2))
    for t in range(1, TIMES):
        amplitude[t] = 0.8 * amplitude[t - 1] + 0.6 * rng.normal(size=2)
    y, x = np.meshgrid(np.linspace(0, 3, Y), np.linspace(0, 3, X), indexing="ij")
    values = 15 + np.einsum("tk,kyx->tyx", amplitude, np.stack([np.cos(x), np.sin(y)]))
    values += 0.1 * rng.normal(size=values.shape)
    values[rng.random(values.shape) < missing] = np.nan
    coords = {
        "time": pd.date_range(start, periods=TIMES),
        "lat": ("lat", np.linspace(50, 44, Y), {"units": "degrees_north"}),
        "lon": ("lon", np.linspace(0, 8, X), {"units": "degrees_east"}),
    }
    return xr.Dataset({"sst": (("time", "lat", "lon"), values.astype("f4"), {"units": "degC"})}, coords)


@pytest.fixture(scope="module")
def gappy() -> Exploration:
    return fieldcast.explore(record(0.3))


def test_gaps_are_counted_and_filled_as_fill_gaps_fills_them(gappy: Exploration) -> None:
    given = record(0.3)
    (row,) = gappy.tables["variables"].to_dict("records")
    assert row["missing"] == float(given["sst"].isnull().mean()) and row["cells"] == Y * X
    assert row["empty_times"] == int(given["sst"].isnull().all(("lat", "lon")).sum())
    assert gappy.data is not None and gappy.result == "filled.nc"
    filled = fieldcast.fill_gaps(given)
    for name in ("sst", "sst_mean", "sst_spread", "sst_flag"):
        np.testing.assert_array_equal(gappy.data[name].values, filled[name].values)
