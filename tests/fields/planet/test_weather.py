"""The diagnosed variables against closed forms and finite differences; the dataset against its contract."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cftime
import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from fieldcast.fields.planet.dynamics import OMEGA, Planet
from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.fields.planet.sphere import Sphere, equiangular_latitudes
from fieldcast.fields.planet.weather import (
    GRAVITY,
    MEAN_T650,
    MEAN_Z500,
    height,
    simulate,
    simulation,
    stored,
    weather,
)
from fieldcast.geometry import EARTH_RADIUS

TINY = PlanetOptions(years=0.1, spin_up=20, truncation=7, step=0.25, n_longitude=16, n_latitude=8)


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return simulate(TINY, seed=0)


def test_weather_of_solid_rotation() -> None:
    """psi_i = -w_i a^2 mu has u = w_i a cos(latitude) and balances g z = -Omega w_i a^2 (mu^2 - 1/3)."""
    options, w = PlanetOptions(scale_height=1e30), np.array([30, 20, 12]) / EARTH_RADIUS
    planet, grid = Planet(options), options.grid()
    psi = np.zeros((22, 2, 3, 22))
    psi[0, 0, :, 1] = -w * EARTH_RADIUS**2 / np.sqrt(3)
    fields = weather(planet, grid, planet.vorticity(psi))
    cosine = np.cos(np.radians(grid.latitude))[:, None] * np.ones(64)
    bulge = OMEGA * EARTH_RADIUS**2 / GRAVITY * (1 / 3 - np.sin(np.radians(grid.latitude)) ** 2)[:, None]
    np.testing.assert_allclose(fields["u200"], 30 * cosine, rtol=1e-9)
    np.testing.assert_allclose(fields["ws800"], 12 * cosine, rtol=1e-9)
    np.testing.assert_allclose(fields["z500"], MEAN_Z500 + w[1] * bulge * np.ones(64), rtol=1e-9)
    warmth = (w[1] - w[2]) * bulge * GRAVITY / 287.05 / np.log(800 / 500)
    np.testing.assert_allclose(fields["t650"], MEAN_T650 + warmth * np.ones(64), rtol=1e-9)


def test_speed_of_rotation_about_an_equatorial_axis() -> None:
    """psi = -w a^2 cos(latitude) cos(longitude) is solid rotation that crosses the poles."""
    planet, grid = Planet(PlanetOptions()), PlanetOptions().grid()
    psi = np.zeros((22, 2, 3, 22))
    psi[1, 0, 2, 1] = -20 * EARTH_RADIUS / np.sqrt(6)
    along_axis = np.cos(np.radians(grid.latitude))[:, None] * np.cos(np.radians(grid.longitude))
    speed = weather(planet, grid, planet.vorticity(psi))["ws800"]
    np.testing.assert_allclose(speed, 20 * np.sqrt(1 - along_axis**2), rtol=1e-9)


def balance_by_differences(psi: np.ndarray, n_latitude: int) -> float:
    """Relative error of g lap z = div(f grad psi) by second-order differences on a grid, poles left out."""
    grid = Sphere(7, 2 * n_latitude, equiangular_latitudes(n_latitude))
    step = np.radians(180 / n_latitude)
    phi = np.radians(grid.latitude)
    half = (phi[1:] + phi[:-1]) / 2

    def divergence(a: np.ndarray, f: np.ndarray, f_half: np.ndarray) -> np.ndarray:
        """div(f grad a) of the flux form, times a^2."""
        meridional = np.diff(f_half * np.cos(half) * np.diff(a, axis=1), axis=1) / np.cos(phi[1:-1])
        zonal = (np.roll(a, 1, 0) - 2 * a + np.roll(a, -1, 0)) * f / np.cos(phi) ** 2
        return ((meridional + zonal[:, 1:-1]) / step**2)[:, n_latitude // 8 : -n_latitude // 8]

    f, f_half = 2 * OMEGA * np.sin(phi), 2 * OMEGA * np.sin(half)
    right = divergence(grid.synthesis(psi)[:, 0], f, f_half)
    left = GRAVITY * divergence(grid.synthesis(height(psi))[:, 0], np.ones_like(f), np.ones_like(f_half))
    return float(np.linalg.norm(left - right) / np.linalg.norm(right))


def test_height_is_in_linear_balance() -> None:
    """The error of finite differences is all there is: a quarter of it on a grid twice as fine."""
    psi = np.zeros((8, 2, 1, 8))  # degree 6, for z has one more
    psi[:, :, 0, :7] = np.random.default_rng(0).normal(0, 1e7, (8, 2, 7))
    psi *= np.triu(np.ones((8, 8)))[:, None, None]
    psi[0, 1] = psi[..., 0] = 0
    coarse, fine = balance_by_differences(psi, 64), balance_by_differences(psi, 128)
    assert coarse < 0.02
    assert coarse / fine == pytest.approx(4, rel=0.05)


def test_the_dataset_keeps_the_conventions(dataset: xr.Dataset) -> None:
    units = {"z500": "m", "t650": "K", "u200": "m s-1", "ws800": "m s-1", "orography": "m"}
    assert {name: dataset[name].attrs["units"] for name in dataset} == units | {"q": "s-1"}
    for name in units:
        dims = ("latitude", "longitude") if name == "orography" else ("time", "latitude", "longitude")
        assert dataset[name].dims == dims
        assert dataset[name].dtype == np.float32
        assert np.isfinite(dataset[name]).all()
        assert set(dataset[name].attrs) == {"units", "standard_name", "long_name"}
    assert dict(dataset["z500"].sizes) == {"time": 36, "latitude": 8, "longitude": 16}
    assert (np.diff(dataset.latitude) > 0).all() and dataset.latitude.units == "degrees_north"
    assert (np.diff(dataset.longitude) > 0).all() and dataset.longitude.units == "degrees_east"
    assert dataset.indexes["time"][0] == cftime.DatetimeNoLeap(1, 1, 1)
    assert dataset.indexes["time"][-1] == cftime.DatetimeNoLeap(1, 2, 5)


def test_defaults_are_the_grid_of_weatherbench() -> None:
    grid = PlanetOptions().grid()
    assert (grid.latitude[0], grid.latitude[-1], grid.latitude.size) == (-87.1875, 87.1875, 32)
    assert (grid.longitude[1], grid.longitude.size) == (5.625, 64)
    assert PlanetOptions().days == 12 * 365


def test_files_round_trip(dataset: xr.Dataset, tmp_path: Path) -> None:
    dataset.to_netcdf(tmp_path / "planet.nc")
    dataset.to_zarr(tmp_path / "planet.zarr", consolidated=False)
    with xr.open_dataset(tmp_path / "planet.nc") as netcdf:
        assert netcdf.identical(dataset)
    assert xr.open_zarr(tmp_path / "planet.zarr", consolidated=False).identical(dataset)


def test_a_seed_determines_the_weather(dataset: xr.Dataset) -> None:
    assert simulate(TINY, seed=0).identical(dataset)
    other = simulate(TINY, seed=1)
    assert other.orography.identical(dataset.orography)
    assert not np.array_equal(other.z500[0], dataset.z500[0])


def test_stored_states_start_the_weather_again(dataset: xr.Dataset) -> None:
    """The unperturbed member follows the truth to the last bit, and the perturbed member diverges from it."""
    planet, grid = Planet(TINY), TINY.grid()
    q = dataset["q"].values[10]
    members = np.stack([q, 1.01 * q]).astype(np.float64)
    for day, states in islice(planet.run(members, 10), 6):
        fields = {name: stored(values) for name, values in weather(planet, grid, states).items()}
        for name, values in fields.items():
            assert np.array_equal(values[0], dataset[name][day])
            assert not np.array_equal(values[1], dataset[name][day])


def test_states_equal_the_simulation(dataset: xr.Dataset) -> None:
    snapshots = list(simulation(TINY, seed=0))
    assert [snapshot.day for snapshot in snapshots] == list(range(36))
    states = dataset["q"]
    assert states.dims == ("time", "m", "part", "level", "n") and states.dtype == np.float32
    assert np.array_equal(states, np.stack([snapshot.q for snapshot in snapshots]))
    assert PlanetOptions(**json.loads(states.attrs["planet"])) == TINY


def test_fields_are_rounded(dataset: xr.Dataset) -> None:
    """Fields are rounded to multiples of 2^-7 of their unit, which hides the last digits of the computation."""
    for name in ("z500", "t650", "u200", "ws800", "orography"):
        steps = dataset[name].values.astype(np.float64) * 2**7
        assert np.array_equal(steps, steps.round()) and np.unique(steps % 128).size > 32


def test_one_thread_while_a_day_is_simulated_and_the_callers_threads_between(
    threads: Callable[[], set[int]], threads_of_days: set[int]
) -> None:
    with threadpool_limits(2, "blas"):
        between = [threads() for _ in islice(simulation(TINY, seed=0), 2)]
    assert threads_of_days == {1} and all(counts == {2} for counts in between)


def test_the_default_planet_has_weather() -> None:
    """After six weeks from nearly zonal flow: storms of the observed size, westerly jets, cold poles."""
    data = simulate(PlanetOptions(years=0.1, spin_up=45), seed=0)
    middle = data.sel(latitude=slice(30, 65))
    assert 60 < middle.z500.std("time").mean() < 200
    assert 25 < middle.u200.mean(["time", "longitude"]).max() < 60
    assert 1.5 < middle.ws800.std("time").mean() < 8
    zonal = data.t650.mean(["time", "longitude"])
    assert zonal.sel(latitude=slice(-25, 25)).mean() - zonal.isel(latitude=-1) > 20
    assert data.orography.max() > 2000


@pytest.mark.parametrize("wrong", [{"year": 3}, {"years": 0}, {"spin_up": -1}, {"n_latitude": "many"}])
def test_wrong_options_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        PlanetOptions(**wrong)
