"""Fields from stations alone: a random field of known statistics, exact kriging, held-out stations, refusals."""

import logging
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast.errors import InputError
from fieldcast.fields.gauges import GaugeRecord, Gauges
from fieldcast.geometry import great_circle_km, unit_points
from fieldcast.inference.stations import gridding
from fieldcast.inference.stations.gridding import grid_and_score, summary_line
from fieldcast.inference.stations.held_out import HeldOut, interpolate, spread_factor
from fieldcast.inference.stations.held_out import degrees_of_columns as in_degrees
from fieldcast.inference.stations.kriging import StationKriging, hold_out_stations, krige
from fieldcast.inference.stations.surfaces import Surface
from fieldcast.models.gaps.local_kriging import CellSeries, Correlation, KrigingModel

STATIONS, UNSEEN, TIMES = 60, 40, 150
LENGTH, PERSISTENCE, NUGGET, SIGMA = 0.12, 0.7, 0.15, 3.0
CPU = torch.device("cpu")


class World(NamedTuple):
    """Readings at stations, and at places that no method sees."""

    table: pd.DataFrame
    points: np.ndarray
    mean: np.ndarray
    unseen: np.ndarray


def random_readings() -> World:
    """Mean and cycle that depend on the latitude, and anomalies of known covariance, every five days of two years."""
    rng = np.random.default_rng(1)
    places = STATIONS + UNSEEN
    latitude, longitude = rng.uniform(40, 60, places), rng.uniform(-5, 25, places)
    points = np.concatenate([unit_points([y], [x])[0] for y, x in zip(latitude, longitude, strict=True)])
    chord = np.linalg.norm(points[:, None] - points, axis=-1) / LENGTH * np.sqrt(3)
    root = np.linalg.cholesky((1 - NUGGET) * (1 + chord) * np.exp(-chord) + 1e-9 * np.eye(places))
    z = np.empty((TIMES, places))
    z[0] = root @ rng.normal(size=places)
    for t in range(1, TIMES):
        z[t] = PERSISTENCE * z[t - 1] + np.sqrt(1 - PERSISTENCE**2) * root @ rng.normal(size=places)
    z += np.sqrt(NUGGET) * rng.normal(size=z.shape)
    times = pd.date_range("2001-01-01", periods=TIMES, freq="5D")
    phase = 2 * np.pi * (times.dayofyear.to_numpy()[:, None] - 1) / 365
    mean = 290 - 0.8 * (latitude - 50) - 0.4 * (latitude - 30) * np.cos(phase - 0.4)
    x = mean + SIGMA * z
    frame = pd.DataFrame(
        x[:, :STATIONS], times, pd.MultiIndex.from_arrays([latitude[:STATIONS], longitude[:STATIONS]])
    )
    table = (
        frame.stack([0, 1], future_stack=True)
        .rename_axis(["time", "lat", "lon"])
        .rename("value")
        .reset_index()
    )
    return World(
        table.assign(variable="t", units="K"), points[STATIONS:], mean[:, STATIONS:], x[:, STATIONS:]
    )


@pytest.fixture(scope="module")
def world() -> World:
    return random_readings()


@pytest.fixture(scope="module")
def kriging(world: World) -> StationKriging:
    return StationKriging.fit(Gauges.read(world.table, None, "'stations'").of("t")[0], 0, CPU)


def test_unseen_places_are_predicted_with_an_honest_spread(world: World, kriging: StationKriging) -> None:
    predicted = kriging.at(world.points)
    error = predicted.mean - world.unseen
    rmse = float(np.sqrt(np.mean(error**2)))
    climate = kriging.climate.at(world.points)
    _, table = Gauges.read(world.table, None, "'stations'").of("t")
    degrees = in_degrees(table, STATIONS)
    at = np.stack([np.degrees(np.arctan2(world.points[:, 1], world.points[:, 0])),
                   np.degrees(np.arcsin(world.points[:, 2]))], axis=1)  # fmt: skip
    nearest, linear = interpolate(kriging.record, degrees, world.points, at)
    others = [climate.mean(kriging.record.phase), nearest, linear]
    assert all(rmse < 0.95 * np.sqrt(np.mean((other - world.unseen) ** 2)) for other in others)
    standardised = error**2 / predicted.variance
    assert float(standardised.mean()) == pytest.approx(1, abs=0.12)
    within = float((standardised < 1.645**2).mean())
    assert within == pytest.approx(0.9, abs=0.03)
    assert (predicted.variance > 0.9 * NUGGET * SIGMA**2).mean() > 0.95


def test_climate_and_correlation_are_recovered(world: World, kriging: StationKriging) -> None:
    climate = kriging.climate.at(world.points)
    error = climate.mean(kriging.record.phase) - world.mean
    independent = (
        TIMES * (1 - PERSISTENCE) / (1 + PERSISTENCE)
    )  # the weather of two years is in mean and cycle
    assert float(np.sqrt(np.mean(error**2))) < 1.5 * SIGMA * np.sqrt(3 / independent)
    assert climate.deviation.mean() == pytest.approx(SIGMA, rel=0.2)
    c = kriging.model.correlation
    assert float(c.nugget) == pytest.approx(NUGGET, abs=0.07)
    assert kriging.length == pytest.approx(LENGTH * 1.239, rel=0.35)


def test_the_length_of_the_correlation_is_a_distance_along_the_ground(
    world: World, kriging: StationKriging
) -> None:
    model = KrigingModel(kriging.model.correlation._replace(space=0.9, smoothness=0.5, time=1.0))
    gauges = Gauges.read(world.table, None, "'stations'")
    line = summary_line("t", replace(kriging, model=model), gauges, 1.0, unscored=True)
    assert f"correlation 1/e at {great_circle_km(0.9):.0f} km and at 1 step of " in line


def test_a_season_is_no_anomaly_in_a_record_of_less_than_two_years() -> None:
    """The RMSE at left-out stations is as low as by daily ordinary kriging; the length is the one of the weather."""
    rng, days, length, sigma, noise = np.random.default_rng(0), 300, 300.0 / 6371, 4.0, 0.3
    latitude, longitude = rng.uniform(45, 57, 40), rng.uniform(5, 23, 40)
    points = np.concatenate([unit_points([y], [x])[0] for y, x in zip(latitude, longitude, strict=True)])
    rho = np.exp(-np.linalg.norm(points[:, None] - points, axis=-1) / length)
    weather = rng.normal(size=(days, 40)) @ np.linalg.cholesky(rho).T
    for t in range(1, days):  # an e-folding time of three days
        weather[t] = np.exp(-1 / 3) * weather[t - 1] + np.sqrt(1 - np.exp(-2 / 3)) * weather[t]
    phase = 2 * np.pi * np.arange(days) / 365.25
    season = -10 * np.cos(phase)[:, None]
    x = season + sigma * weather + noise * rng.normal(size=weather.shape)
    given, left_out = slice(0, 25), slice(25, 40)

    covariance, system = sigma**2 * rho, np.ones((26, 26))
    system[:25, :25], system[25, 25] = covariance[given, given] + noise**2 * np.eye(25), 0
    weights = np.linalg.solve(system, np.vstack([covariance[given, left_out], np.ones(15)]))[:25]
    record = GaugeRecord(x[:, given], points[given], np.arange(days), phase, seasonal=False)
    kriging = StationKriging.fit(record, 0, CPU)
    rmse, daily = (
        np.sqrt(np.mean((predicted - x[:, left_out]) ** 2))
        for predicted in (kriging.at(points[left_out]).mean, x[:, given] @ weights)
    )
    assert rmse < 1.015 * daily
    assert kriging.length == pytest.approx(length, rel=0.5)
    course = kriging.climate.at(points[left_out]).mean(phase) - season
    assert course.std(0).max() < 0.25 * sigma


def test_all_observations_give_exact_simple_kriging() -> None:
    """The result of fewer readings than neighbours is the dense solution."""
    generator = torch.Generator().manual_seed(0)
    point = torch.nn.functional.normalize(torch.randn(5, 3, generator=generator, dtype=torch.float64), dim=1)
    x = torch.randn(4, 5, generator=generator)
    series = CellSeries(x, torch.ones(4, 5, dtype=torch.bool), torch.arange(4.0, dtype=torch.float64), point)
    model = KrigingModel(Correlation(0.8, 2.0, 0.2, 1.5))
    unseen = torch.nn.functional.normalize(torch.ones(1, 3, dtype=torch.float64), dim=1)
    mean, spread = krige(series, model, unseen.numpy(), np.ones((4, 1), dtype=bool))
    time, cell = (index.ravel() for index in torch.meshgrid(torch.arange(4), torch.arange(5), indexing="ij"))
    near = series.coordinates(time, cell)
    target = torch.cat([unseen.expand(4, 3), series.step[:, None]], 1)
    among, k = model.correlation(near, near), model.correlation(target, near)
    among.fill_diagonal_(1.0)
    weight = torch.linalg.solve(among, k.T).T
    np.testing.assert_allclose(mean[:, 0], weight @ x.ravel().double(), atol=1e-5)
    np.testing.assert_allclose(spread[:, 0] ** 2, 1 - (weight * k).sum(1), atol=1e-5)


def test_pieces_of_cells_give_the_fields_of_all_at_once(kriging: StationKriging, world: World) -> None:
    """Memory is that of a piece."""
    cells = np.concatenate([world.points, kriging.record.points, world.points])
    whole = kriging.at(cells)
    parts = list(kriging.pieces(cells, values=TIMES * (STATIONS + 50)))
    assert [len(cells[piece]) for piece, _, _ in parts] == [2 * STATIONS, 20]  # at least twice the stations
    for name in ("mean", "variance"):
        in_pieces = np.concatenate([getattr(part, name) for _, part, _ in parts], axis=1)
        np.testing.assert_allclose(in_pieces, getattr(whole, name), rtol=1e-5)


def test_held_out_readings_do_not_matter(kriging: StationKriging) -> None:
    left = np.arange(STATIONS) < 6
    changed = replace(kriging, record=replace(kriging.record, x=kriging.record.x + 50.0 * left))
    expected, predicted = (
        each.without(left).at(kriging.record.points[left], kriging.record.observed[:, left])
        for each in (kriging, changed)
    )
    np.testing.assert_array_equal(expected.mean, predicted.mean)
    np.testing.assert_array_equal(expected.variance, predicted.variance)


def test_held_out_readings_are_those_of_whole_stations(kriging: StationKriging) -> None:
    copies, held_out = hold_out_stations(kriging.series, 0)
    number = held_out.time // TIMES
    assert len(copies.x) == 4 * TIMES and (copies.step.diff() >= 1).all()
    for copy in range(4):
        stations = held_out.cell[number == copy].unique()
        assert len(stations) == 6
        assert not (
            kriging.series.observed[:, stations] & ~held_out.mask[copy * TIMES :][:TIMES, stations]
        ).any()


def test_the_spread_is_right_at_held_out_stations_and_doubtful_readings_are_listed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong reading is named, and kept."""
    wrong = world.table.copy()
    wrong.loc[1234, "value"] += 60.0
    with caplog.at_level(logging.WARNING):
        result = grid_and_score(wrong, 5.0, None, None, 0, "cpu", "'stations'")
    assert "1 of 9000 readings are more than 5 spreads" in caplog.text
    assert wrong.loc[1234, "time"].isoformat() in caplog.text
    scores = result.scores.set_index(["experiment", "score"])["value"]
    assert set(result.scores["experiment"]) == {"kriging", "climatology", "nearest", "linear"}
    assert all(
        scores["kriging", "crps"] < scores[name, "crps"] for name in ("climatology", "nearest", "linear")
    )
    assert scores["kriging", "coverage90"] == pytest.approx(0.9, abs=0.03)
    assert len(result.by_station) == 4 * STATIONS
    fields = result.fields
    assert fields["t"].attrs["units"] == "K" and "instrument" in fields["t_spread"].attrs["comment"]
    assert fields["t"].sizes == {"time": TIMES, "latitude": 5, "longitude": 7}
    assert "t: 9000 readings at held-out stations" in fields.attrs["comment"]
    assert set(np.unique(fields["t_flag"])) <= {1, 2}
    assert fields["t_flag"].sel(latitude=50, longitude=10).values.tolist().count(1) > 0.9 * TIMES


def test_stations_of_one_variable_that_lie_together_are_held_out_in_turn() -> None:
    """Snow of one valley beside temperatures of a continent: its stations share a cluster of all stations."""
    rng = np.random.default_rng(0)
    times, tables = pd.date_range("2020-01-01", periods=30), []
    for variable, count, latitude, longitude in (
        ("t", 120, (35, 70), (-10, 40)),
        ("snow", 22, (46.4, 46.6), (7.9, 8.1)),
    ):
        places = pd.DataFrame({"lat": rng.uniform(*latitude, count), "lon": rng.uniform(*longitude, count)})
        tables.append(places.merge(pd.DataFrame({"time": times}), "cross").assign(variable=variable))
    table = pd.concat(tables, ignore_index=True)
    table["value"] = rng.normal(size=len(table))
    result = grid_and_score(table, 10.0, None, None, 0, "cpu", "'stations'")
    assert set(result.scores["variable"]) == {"t", "snow"} and np.isfinite(result.scores["value"]).all()
    assert np.isfinite(result.fields["snow_spread"]).all()


def test_the_factor_makes_the_mean_square_1_and_ignores_the_size_of_gross_errors() -> None:
    errors = 2.5 * np.random.default_rng(0).standard_normal(2000)
    assert spread_factor(errors) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-3)
    assert spread_factor(np.append(errors, 1e6)) == pytest.approx(spread_factor(np.append(errors, 1e3)))
    assert spread_factor(np.zeros(5)) == 0


def test_scores_are_cross_fitted() -> None:
    cluster = np.repeat([0, 1], 50)
    y = np.where(cluster == 0, 1.0, 3.0) * np.tile([1.0, -1.0], 50)
    table = pd.DataFrame({"value": y, "variable": "t"})
    predictions = HeldOut(table, cluster, {"kriging": np.zeros(100)}, {"kriging": np.ones(100)})
    np.testing.assert_allclose(predictions.factors(), np.where(cluster == 0, 3.0, 1.0))


def test_linear_interpolation_of_a_plane_is_exact_and_nearest_outside() -> None:
    degrees = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    points = np.concatenate([unit_points([y], [x])[0] for x, y in degrees])
    table = pd.DataFrame(
        [
            {"time": t, "lat": y, "lon": x, "variable": "t", "value": x + 2 * y}
            for t in pd.date_range("2001-01-01", periods=3)
            for x, y in degrees
        ]
    )
    record, readings = Gauges.read(table, None, "'stations'").of("t")
    at = np.array([[3.0, 4.0], [11.0, 12.0]])
    places = np.concatenate([unit_points([y], [x])[0] for x, y in at])
    nearest, linear = interpolate(record, in_degrees(readings, 4), places, at)
    np.testing.assert_allclose(linear, np.tile([11.0, 30.0], (3, 1)))
    np.testing.assert_allclose(nearest[:, 1], 30.0)
    np.testing.assert_allclose(np.sort(points, axis=0), np.sort(record.points, axis=0))


def test_a_constant_record_gives_the_constant() -> None:
    times = pd.date_range("2001-01-01", periods=12)
    places = pd.DataFrame({"lat": np.linspace(40, 50, 5), "lon": np.linspace(5, 9, 5)})
    table = places.merge(pd.DataFrame({"time": times}), "cross").assign(variable="t", value=7.0)
    result = grid_and_score(table, 2.0, None, None, 0, "cpu", "'stations'")
    np.testing.assert_allclose(result.fields["t"], 7.0, rtol=1e-5)
    xr.testing.assert_identical(
        fieldcast.grid_stations(table, resolution=2.0, device="cpu")["t"], result.fields["t"]
    )
    assert float(result.fields["t_spread"].max()) < 1e-4
    assert result.scores.empty and "no scores: holding stations out requires at least 20" in result.text


def test_a_surface_removes_errors_of_known_variance() -> None:
    """The mean of a station with few readings moves towards its surroundings, as the dense solution does."""
    rng = np.random.default_rng(2)
    latitude = rng.uniform(0, 40, 80)
    points = np.concatenate(
        [unit_points([y], [x])[0] for y, x in zip(latitude, rng.uniform(0, 40, 80), strict=True)]
    )
    truth = np.sin(latitude / 6)
    error = np.where(np.arange(80) < 20, 0.5, 1e-6)
    values = truth + np.sqrt(error) * rng.normal(size=80)
    surface = Surface.of(points, values[:, None], error)
    before, after = (np.sqrt(np.mean((part - truth)[:20] ** 2)) for part in (values, surface.values[:, 0]))
    assert after < 0.5 * before
    np.testing.assert_allclose(surface.values[20:, 0], values[20:], atol=1e-3)
    covariance = surface.kernel(points)
    y, v = (values - surface.centre) / surface.scale, error / surface.scale**2
    dense = covariance @ np.linalg.solve(covariance + np.diag(v + 1e-8), y)
    np.testing.assert_allclose(surface.values[:, 0], surface.centre + surface.scale * dense, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs either a resolution or the grid of a data set, and neither is given: give --resolution"),
        ({"resolution": 1.0, "like": xr.Dataset()}, "and both are given"),
        ({"resolution": -1.0}, "the resolution is -1: give degrees, more than 0 and at most 90"),
        ({"resolution": 1e-3}, r"the grid has 1\d{4} x \d+ cells at 150 times, .* give a coarser resolution"),
        ({"like": xr.Dataset()}, "like has no latitude and no longitude"),
    ],
)
def test_grids_that_cannot_be_made_are_refused(world: World, options, message) -> None:
    with pytest.raises(InputError, match=message):
        fieldcast.grid_stations(world.table, **options)


def test_stated_errors_are_not_used(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Gauges.read(world.table.assign(error=1.0), None, "'gauges.csv'")
    assert "'gauges.csv': the column 'error' is not used" in caplog.text
    assert gridding.MODEL.startswith("kriging")
