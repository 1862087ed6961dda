"""Elevation: a lapse rate that is recovered, its removal where it helps, and elevations of cells from many sources."""

import logging
from functools import cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import fieldcast
from fieldcast.errors import InputError
from fieldcast.fields.gauges import Gauges
from fieldcast.geometry import unit_points
from fieldcast.inference.stations.elevation import Relief
from fieldcast.inference.stations.gridding import Result, grid_and_score
from fieldcast.inference.stations.surfaces import Surface
from tests.inference.gauge_network import network

LAPSE = -6.5e-3


def with_lapse(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(value=table["value"] + LAPSE * table["elevation"])


def model_of_elevation() -> xr.Dataset:
    """Random relief on the cells of the result."""
    axes = {"lat": np.arange(40.0, 51.0), "lon": np.arange(0.0, 13.0)}
    values = np.random.default_rng(12).uniform(0, 3000, (11, 13))
    return xr.Dataset({"elevation": (("lat", "lon"), values, {"units": "m"})}, axes).assign_coords(
        lat=("lat", axes["lat"], {"units": "degrees_north"}),
        lon=("lon", axes["lon"], {"units": "degrees_east"}),
    )


@cache
def gridded(relief: str) -> Result:
    table = network(elevations=True)
    table = with_lapse(table) if relief != "none" else table.drop(columns="elevation")
    dem = model_of_elevation() if relief == "dem" else None
    like = model_of_elevation().drop_vars("elevation")
    return grid_and_score(table, None, like, None, 0, "cpu", "'gauges.csv'", "none", dem=dem)


def rmse(result: Result) -> float:
    scores = result.scores[result.scores["experiment"] == "kriging"].set_index("score")["value"]
    return float(scores["rmse"])


def test_relief_costs_nothing_with_elevations() -> None:
    """The lapse rate is recovered, and the field is the one at sea level plus the lapse."""
    result, flat = gridded("dem"), gridded("none")
    assert rmse(result) < 1.1 * rmse(flat)
    rate = result.text.split("t2m: ")[-1].split(" degC per km of elevation, removed")[0]
    slope, error = (float(part) for part in rate.split(" ± "))
    assert slope == pytest.approx(1000 * LAPSE, abs=0.2) and error < 0.1
    dem = model_of_elevation()["elevation"].values
    np.testing.assert_allclose(result.fields["surface_altitude"], dem, rtol=1e-6)
    difference = (result.fields["t2m"] - LAPSE * dem - flat.fields["t2m"]).values
    assert float(np.sqrt(np.mean(difference**2))) < 0.15


def test_the_cost_of_the_relief_is_said_without_elevations_of_cells(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        result = gridded("unknown")
    assert rmse(result) > 5 * rmse(gridded("none"))
    assert "t2m: -6.49 ±" in caplog.text and "degC per km of elevation, which the field lacks" in caplog.text
    assert "give --dem FILE (station_fields.dem, dem in Python)" in result.fields.attrs["comment"]
    assert "surface_altitude" not in result.fields


def test_an_elevation_without_influence_is_not_used() -> None:
    table = network(elevations=True)
    result = grid_and_score(table, 2.0, None, None, 0, "cpu", "'t'", "none", dem=model_of_elevation())
    expected = grid_and_score(table.drop(columns="elevation"), 2.0, None, None, 0, "cpu", "'t'", "none")
    assert "no dependence on elevation that helps" in result.text
    np.testing.assert_array_equal(result.fields["t2m"], expected.fields["t2m"])


def test_the_drift_is_universal_kriging() -> None:
    """The slope is that of a Gaussian process with a vague prior of a linear term (Rasmussen and Williams, 2.7)."""
    rng = np.random.default_rng(0)
    points = np.concatenate([unit_points([y], [x])[0] for y, x in rng.uniform(0, 40, (40, 2))])
    elevation = rng.uniform(0, 3000, 40)
    values = np.sin(5 * points[:, 0]) - 2.0 * elevation / 1000 + 0.1 * rng.normal(size=40)
    surface = Surface.of(points, values[:, None], None, None, elevation)
    assert surface.drifts and surface.drift is not None and surface.drift.rmse[0] < surface.drift.rmse[1]
    k = surface.kernel(points) + 1e-8 * np.eye(40)
    h = (elevation - elevation.mean()) / 1000
    vague = k + 1e6 * (1 + np.outer(h, h))
    y = (values - surface.centre) / surface.scale
    slope = 1e6 * h @ np.linalg.solve(vague, y) * surface.scale[0]
    assert surface.drift.slope[0] == pytest.approx(slope, rel=1e-3)
    assert slope == pytest.approx(-2.0, abs=0.15)
    unseen, height = points[:5] + 0.05, np.array([0.0, 500, 1000, 2000, 8000])
    at = (height - elevation.mean()) / 1000
    cross = surface.kernel(unseen, points)
    expected = np.diag(surface.kernel(unseen)) - np.einsum("ij,ji->i", cross, np.linalg.solve(k, cross.T))
    design = np.stack([np.ones(40), h], 1)
    weighted = np.linalg.solve(k, design)
    of_slope = np.linalg.inv(design.T @ weighted)[1, 1]
    expected = expected + (at - cross @ np.linalg.solve(k, h)) ** 2 * of_slope
    np.testing.assert_allclose(
        surface.at(unseen, height)[1][:, 0], expected * surface.scale[0] ** 2, rtol=0.02, atol=1e-6
    )


def test_left_out_errors_are_those_of_a_fit_without_the_places() -> None:
    """Dubrule's formula is leaving out one fold after the other."""
    rng = np.random.default_rng(1)
    points = np.concatenate([unit_points([y], [x])[0] for y, x in rng.uniform(0, 40, (12, 2))])
    values = rng.normal(size=(12, 1))
    surface = Surface.of(points, values)
    k = surface.kernel(points) + 1e-8 * np.eye(12)
    order = surface.stations
    fold = np.random.default_rng(0).permutation(12) % 10
    errors = []
    for number in range(10):
        out, kept = order[fold == number], order[fold != number]
        inverse = np.linalg.inv(k[np.ix_(kept, kept)])
        mean = float(inverse.sum(0) @ values[kept, 0] / inverse.sum())
        predicted = mean + k[np.ix_(out, kept)] @ inverse @ (values[kept, 0] - mean)
        errors += list(values[out, 0] - predicted)
    expected = np.sqrt(np.mean(np.square(errors)))
    assert surface.left_out(values, points, np.ones((12, 1))) == pytest.approx(expected, rel=1e-5)


def test_elevations_are_read_in_any_layout() -> None:
    dem = model_of_elevation()
    expected = Relief.of(dem, "dem").elevation
    geopotential = (dem["elevation"] * 9.80665).rename("z").assign_attrs(units="m2 s-2")
    kilometres = (dem["elevation"] / 1000).rename("orog").assign_attrs(units="km")
    turned = dem.isel(lat=slice(None, None, -1)).transpose("lon", "lat").expand_dims(time=1)
    for given in (geopotential.to_dataset(), kilometres.to_dataset(), turned):
        np.testing.assert_allclose(Relief.of(given, "dem").elevation, expected, rtol=1e-6)
    sea = dem.where(dem["elevation"] > 500)
    assert Relief.of(sea, "dem").elevation.min() == 0
    grid = {"latitude": np.arange(42.0, 49.0), "longitude": np.arange(2.0, 10.0)}
    np.testing.assert_allclose(Relief.of(dem, "dem").on(grid), expected[2:9, 2:10])
    coarse = {"latitude": np.array([41.0, 44.0, 47.0]), "longitude": np.array([1.0, 4.0, 7.0, 10.0])}
    blocks = expected[:9, :12].reshape(3, 3, 4, 3).mean((1, 3))
    np.testing.assert_allclose(Relief.of(dem, "dem").on(coarse), blocks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda dem: dem.assign(elevation=dem["elevation"].assign_attrs(units="K")),
            "is in 'K', not a length",
        ),
        (lambda dem: dem * 100, "are not heights in metres up to 9000"),
        (lambda dem: dem.isel(lat=slice(4, None)), r"but \d+ of 132 cells of the grid lie outside"),
        (
            lambda dem: dem.rename(elevation="a").assign(b=dem["elevation"]),
            "has no variable 'surface_altitude'",
        ),
        (lambda dem: dem.rename(lat="row"), "dem has no latitude"),
        (
            lambda dem: dem.expand_dims(level=[1, 2]),
            "its elevation has the dimensions level, lat, lon, not latitude",
        ),
    ],
)
def test_elevations_that_cannot_be_used_are_refused(change, message) -> None:
    dem = model_of_elevation()
    given = change(dem).assign_attrs(dem.attrs)
    if "lat" not in given.dims:
        given = given.drop_vars("row")
    with pytest.raises(InputError, match=message):
        fieldcast.grid_stations(network(elevations=True), resolution=1.0, dem=given)


def test_stations_without_elevation_take_that_of_the_model() -> None:
    table = network()
    dem = model_of_elevation()
    dem["elevation"] = 100 * (dem["lat"] - 40) + 0 * dem["lon"]
    table["value"] += LAPSE * 100 * (table["lat"] - 40)
    gauges = Gauges.read(table, None, "'t'")
    assert "elevation" not in gauges.locations
    result = grid_and_score(table, 2.0, None, None, 0, "cpu", "'t'", "none", dem=dem)
    assert "elevation of 24 of 24 gauges from dem, not from the table" in result.text


def test_the_elevation_of_the_grid_itself_is_used() -> None:
    like = model_of_elevation().rename(elevation="surface_altitude")
    result = grid_and_score(with_lapse(network(elevations=True)), None, like, None, 0, "cpu", "'t'", "none")
    np.testing.assert_allclose(result.fields["t2m"], gridded("dem").fields["t2m"], atol=1e-4)
