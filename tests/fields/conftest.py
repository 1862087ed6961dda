"""A small, smooth, seeded weather record that every test of `fields` can spoil in its own way."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr


def weather(
    times: int = 60,
    *,
    latitude: np.ndarray | None = None,
    longitude: np.ndarray | None = None,
    calendar: str = "standard",
    start: str = "2001-01-01",
    freq: str = "D",
    seed: int = 0,
) -> xr.Dataset:
    """`t2m` [K] and `msl` [Pa] on (time, latitude, longitude): a seasonal cycle and a slow random walk."""
    rng = np.random.default_rng([1, seed])
    y = np.linspace(-60, 60, 5) if latitude is None else latitude
    x = np.arange(0, 360, 60.0) if longitude is None else longitude
    time = xr.date_range(start, periods=times, freq=freq, calendar=calendar, use_cftime=calendar == "noleap")
    red = rng.standard_normal((times, y.size, x.size))
    for i in range(1, times):
        red[i] += 0.8 * red[i - 1]
    t2m = 288 + 10 * np.cos(np.deg2rad(y))[:, None] + 3 * red
    return xr.Dataset(
        {
            "t2m": (("time", "latitude", "longitude"), t2m.astype(np.float32), {"units": "K"}),
            "msl": (("time", "latitude", "longitude"), (1e5 + 800 * red).astype(np.float32), {"units": "Pa"}),
        },
        {
            "time": time,
            "latitude": ("latitude", y, {"units": "degrees_north"}),
            "longitude": ("longitude", x, {"units": "degrees_east"}),
        },
    )


@pytest.fixture
def make_weather() -> Callable[..., xr.Dataset]:
    return weather


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a data set to a NetCDF file of this name and gives its path."""

    def to_file(dataset: xr.Dataset, name: str = "weather.nc", **options: object) -> str:
        path = tmp_path / name
        dataset.to_netcdf(path, **options)
        return str(path)

    return to_file
