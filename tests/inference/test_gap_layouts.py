"""A record on the same cells in another layout is filled with the same values, and keeps its layout."""

import numpy as np
import pytest
import xarray as xr

import fieldcast


@pytest.fixture(scope="module")
def record() -> xr.Dataset:
    """Waves across Greenwich, 35 % missing."""
    rng = np.random.default_rng(0)
    y, x = np.arange(40.0, 52, 2), np.arange(-10.0, 10, 2.5)
    a = np.zeros((40, 4))
    for t in range(1, 40):
        a[t] = 0.8 * a[t - 1] + 0.6 * rng.normal(size=4)
    waves = [np.cos(np.deg2rad(4 * k * y[:, None] + 6 * x[None] + k)) for k in range(4)]
    values = 15 + np.einsum("tk,kyx->tyx", a, waves) + 0.05 * rng.normal(size=(40, 6, 8))
    values[rng.random(values.shape) < 0.35] = np.nan
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), values.astype("f4"), {"units": "degC"})},
        {
            "time": np.datetime64("2001-01-01", "ns") + np.arange(40).astype("m8[D]"),
            "lat": ("lat", y, {"units": "degrees_north"}),
            "lon": ("lon", x, {"units": "degrees_east"}),
        },
    )


@pytest.fixture(scope="module")
def filled(record: xr.Dataset) -> xr.Dataset:
    return fieldcast.fill_gaps(record, quantities="none")


def test_longitudes_that_ascend_from_zero(record: xr.Dataset, filled: xr.Dataset) -> None:
    """A selection from a file with longitudes from 0 to 360, whose middle is not in the region."""
    stored = record.assign_coords(lon=record["lon"] % 360).sortby("lon")
    assert stored["lon"].values.tolist() == [0, 2.5, 5, 7.5, 350, 352.5, 355, 357.5]
    result = fieldcast.fill_gaps(stored, quantities="none")
    np.testing.assert_array_equal(result["lon"], stored["lon"])
    back = result.assign_coords(lon=(result["lon"] + 180) % 360 - 180).sortby("lon")
    for name in ("sst", "sst_mean", "sst_spread", "sst_flag"):
        np.testing.assert_array_equal(back[name], filled[name])


def test_separable_coordinates_in_two_dimensions(record: xr.Dataset, filled: xr.Dataset) -> None:
    y, x = xr.broadcast(record["lat"], record["lon"])
    stored = record.drop_vars(["lat", "lon"]).rename(lat="y", lon="x")
    stored = stored.assign_coords(
        lat=(("y", "x"), y.values, {"units": "degrees_north"}),
        lon=(("y", "x"), x.values, {"units": "degrees_east"}),
    )
    result = fieldcast.fill_gaps(stored.isel(y=slice(None, None, -1)), quantities="none")
    assert result["sst"].dims == ("time", "y", "x")
    np.testing.assert_array_equal(result["lat"], stored["lat"][::-1])
    np.testing.assert_array_equal(result["lon"], stored["lon"])
    for name in ("sst", "sst_mean", "sst_spread", "sst_flag"):
        np.testing.assert_array_equal(result[name].values[:, ::-1], filled[name])
