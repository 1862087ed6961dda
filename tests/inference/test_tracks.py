"""Fields from readings along tracks: a known sea level, passes with biases that are held out whole, files of tracks."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast.errors import InputError
from fieldcast.fields.stations import read_stations
from fieldcast.geometry import unit_points
from fieldcast.inference.stations.gridding import Result, grid_and_score
from fieldcast.inference.stations.tracks import (
    Block,
    Mean,
    Readings,
    TrackKriging,
    averaged,
    fit_tracks,
    moves,
    passes_of,
)

SIZE, BIAS, NOISE, DAYS = 0.1, 0.05, 0.03, 10
FIRST = np.datetime64("2001-01-01", "s")


def sea_level(latitude: np.ndarray, longitude: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Sixty waves of random lengths and periods, of standard deviation `SIZE` [m]."""
    rng = np.random.default_rng(0)
    k, m, w = (rng.normal(0, 2 * np.pi / scale, 60) for scale in (12, 12, 25))
    angle = np.multiply.outer(longitude, k) + np.multiply.outer(latitude, m) + np.multiply.outer(day, w)
    return SIZE * np.sqrt(2 / 60) * np.cos(angle + rng.uniform(0, 2 * np.pi, 60)).sum(-1)


def altimeter(bias: float = BIAS, passes: int = 2) -> pd.DataFrame:
    """Readings of three satellites in ten days, with noise and a bias for each pass."""
    rng, parts = np.random.default_rng(1), []
    for satellite, slope in enumerate((0.4, -0.4, 0.2)):
        for day in range(DAYS):
            for number in range(passes):
                latitude = np.arange(30, 45, 0.2)
                longitude = rng.uniform(0, 20) + slope * (latitude - 37)
                at = day + (number + rng.uniform(0.1, 0.9)) / passes + np.arange(len(latitude)) * 3 / 86400
                value = (
                    sea_level(latitude, longitude, at)
                    + bias * rng.normal()
                    + NOISE * rng.normal(size=len(at))
                )
                columns = {
                    "time": FIRST + (at * 86400).round().astype("m8[s]"), "latitude": latitude, "longitude": longitude,
                    "sla": value, "satellite": f"S{satellite}",
                }  # fmt: skip
                part = pd.DataFrame(columns)
                parts.append(part[part["longitude"].between(0, 20)])
    return pd.concat(parts, ignore_index=True)


def netcdf(table: pd.DataFrame, path: Path) -> Path:
    """A file of along-track data, whose coordinates share the dimension of time."""
    data = xr.Dataset.from_dataframe(table.rename_axis("obs"))
    data["satellite"] = data["satellite"].astype(str)
    data["sla"].attrs["units"] = "m"
    data["flag"] = (
        "obs",
        np.zeros(len(table), dtype="i1"),
        {"flag_values": np.array([0, 1], "i1"), "flag_meanings": "a b"},
    )
    data.to_netcdf(path)
    return path


@cache
def gridded(folder: Path) -> Result:
    path = netcdf(altimeter(), folder / "altimeter.nc")
    return grid_and_score(path, 1.0, None, None, 0, "cpu", f"'{path}'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracks")


def test_held_out_passes_have_an_honest_spread_and_biases_help(folder: Path) -> None:
    scores = gridded(folder).scores.pivot(index="experiment", columns="score", values="value")
    kriging, plain = scores.loc["kriging"], scores.loc["kriging without biases"]
    assert kriging["ssr"] == pytest.approx(1, abs=0.1)
    assert kriging["rmse"] < 0.95 * plain["rmse"] and kriging["crps"] < 0.95 * plain["crps"]
    least = np.hypot(
        BIAS, NOISE
    )  # the bias of a held-out pass and its noise are in the error of any prediction
    assert least * 0.9 < kriging["rmse"] < 1.3 * least
    assert kriging["rmse"] < 0.8 * scores.loc["climatology"]["rmse"]


def test_the_known_sea_level_comes_back(folder: Path) -> None:
    result = gridded(folder)
    fields = result.fields
    day = (fields["time"].values - FIRST) / np.timedelta64(1, "D")
    assert day.tolist() == list(range(DAYS + 1))
    inside = fields.isel(time=slice(2, -2), latitude=slice(2, -2), longitude=slice(3, -3))
    places = np.meshgrid(
        (inside["time"].values - FIRST) / np.timedelta64(1, "D"),
        inside["latitude"],
        inside["longitude"],
        indexing="ij",
    )
    truth = sea_level(places[1], places[2], places[0])
    error = inside["sla"].values - truth
    assert np.sqrt(np.mean(error**2)) < 0.4 * truth.std()
    assert set(fields.data_vars) == {"sla", "sla_spread", "sla_flag"} and fields["sla"].attrs["units"] == "m"
    assert "a bias of each pass, of standard deviation" in result.text and ", helps: RMSE" in result.text
    assert set(result.by_station["experiment"]) >= {"kriging", "climatology", "nearest"}
    passes = len(np.unique(passes_of(altimeter().rename(columns={"satellite": "track"}))))
    assert len(result.by_station) == 4 * passes


def test_without_names_no_bias_is_estimated_and_passes_are_held_out() -> None:
    table = (
        altimeter(passes=1).drop(columns="satellite").rename(columns={"sla": "value"}).assign(variable="sla")
    )
    read = read_stations(table, "'table'")
    assert moves(read) and len(np.unique(passes_of(read))) == 3 * DAYS
    fitted = fit_tracks(read, "sla", 0)
    assert "because tracks have no names" in fitted.line and fitted.kriging.bias == 0
    assert fitted.predictions is not None
    assert fitted.predictions.table.groupby("station")["latitude"].nunique().eq(1).all()
    assert (
        pd.Series(fitted.predictions.cluster).groupby(fitted.predictions.table["station"]).nunique() == 1
    ).all()


def test_a_pass_is_a_track_between_gaps() -> None:
    seconds = [0, 1, 2, 3, 100, 101, 0, 1, 2, 3, 3, 2, 1]
    time = FIRST + np.array(seconds).astype("m8[s]")
    table = pd.DataFrame({"time": time, "track": ["a"] * 6 + ["b"] * 4 + ["c"] * 3})
    assert passes_of(table).tolist() == [0] * 4 + [1] * 2 + [2] * 4 + [3] * 3
    assert passes_of(table.drop(columns="track")).tolist() == [0] * 4 + [1] * 2 + [2] * 5 + [3, 4]


def test_tables_of_stations_are_no_tracks() -> None:
    table = pd.DataFrame({"time": pd.date_range("2001-01-01", periods=200), "variable": "t", "latitude": 1.0})
    still = table.assign(longitude=np.tile(np.arange(100.0), 2))
    assert not moves(still) and moves(table.assign(longitude=np.arange(200.0)))
    assert not moves(table.assign(longitude=np.arange(200.0), station=np.arange(200)))
    assert moves(table.assign(longitude=np.arange(200.0), station="ship"))
    assert moves(still.assign(track="a"))
    assert not moves(table.assign(longitude=np.tile(np.arange(10.0), 20), track="moored"))


def test_all_readings_give_exact_kriging_with_biases() -> None:
    """The dense solution for two passes, by numpy."""
    rng = np.random.default_rng(0)
    point = unit_points(rng.uniform(0, 5, 6), [0.0]).reshape(-1, 3)
    number, hour = np.array([0, 0, 0, 1, 1, 1]), rng.uniform(0, 48, 6)
    readings = Readings(point, hour, 0 * hour, number, rng.normal(size=6), np.array([1.0, 2, 1, 1, 4, 1]))
    flat = Mean(np.zeros(4), point.mean(0), False)
    kriging = TrackKriging(readings, flat, 1.0, 0.5, 0.2, 0.05, 30.0)
    target = Readings(point[:1] + 0.0, hour[:1] + 5, hour[:1], number[:1], hour[:1], np.ones(1))
    object.__setattr__(kriging, "mean", flat)

    def rho(d: np.ndarray) -> np.ndarray:
        return (1 + np.sqrt(3) * d) * np.exp(-np.sqrt(3) * d)

    def signal(a: np.ndarray, s: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
        return rho(np.linalg.norm(a[:, None] - b, axis=-1) / 0.05) * rho(np.abs(s[:, None] - t) / 30.0)

    covariance = signal(point, hour, point, hour) + 0.5 * (number[:, None] == number)
    covariance += np.diag(0.2 / readings.count + 1e-6)
    cross = signal(target.point, target.hour, point, hour)[0]
    mean, variance, _ = kriging.at(target)
    assert mean[0] == pytest.approx(cross @ np.linalg.solve(covariance, readings.y))
    expected = 1 - cross @ np.linalg.solve(covariance, cross) + 0.7
    assert variance[0] == pytest.approx(expected)
    block = Block.of(readings, readings.y, np.arange(6)[None])
    parameters = torch.tensor([1.0, 0.5, 0.2, 0.05, 30.0], dtype=torch.float64)
    np.testing.assert_allclose(block.covariance(parameters)[0], covariance)
    density = (readings.y @ np.linalg.solve(covariance, readings.y) + np.linalg.slogdet(covariance)[1]) / 2
    assert float(block.negative_log_likelihood(parameters, True)) == pytest.approx(density)


def test_readings_are_averaged_within_passes_only() -> None:
    point = unit_points(np.array([0.0, 0.01, 0.02, 5.0, 5.01]), [0.0]).reshape(-1, 3)
    hour, y = np.arange(5.0) / 60, np.array([1.0, 2, 6, 4, 5])
    readings = Readings(point, hour, hour, np.array([0, 0, 1, 1, 1]), y, np.ones(5))
    means = averaged(readings, 0.01, 100.0)
    assert means.y.tolist() == [1.5, 6.0, 4.5] and means.count.tolist() == [2, 1, 2]
    assert means.number.tolist() == [0, 1, 1]
    np.testing.assert_allclose(np.linalg.norm(means.point, axis=1), 1)


@pytest.mark.parametrize("layout", ["matrix", "contiguous", "indexed", "names"])
def test_trajectories_of_the_conventions_are_one_table(layout: str, tmp_path: Path) -> None:
    """Chapter 9.4 of CF: each layout holds the readings of the same table."""
    table = pd.DataFrame(
        {
            "time": FIRST + np.arange(7).astype("m8[h]"),
            "lat": np.arange(7.0),
            "lon": 5.0,
            "t": np.arange(7.0) * 2,
        }
    )
    tracks = np.array(["a", "a", "a", "b", "b", "b", "b"])
    units = {"lat": "degrees_north", "lon": "degrees_east", "t": "degC"}
    if layout == "matrix":
        index = np.array([[0, 1, 2, -1], [3, 4, 5, 6]])
        data = xr.Dataset(
            {
                name: (("trajectory", "obs"), np.where(index < 0, np.nan, table[name].to_numpy()[index]))
                for name in units
            }
        )
        data["time"] = (
            ("trajectory", "obs"),
            np.where(index < 0, np.datetime64("NaT"), table["time"].to_numpy()[index]),
        )
        data["name"] = ("trajectory", ["a", "b"], {"cf_role": "trajectory_id"})
    else:
        data = xr.Dataset({name: ("obs", table[name]) for name in table})
        if layout == "contiguous":
            data["rowSize"] = ("trajectory", [3, 4], {"sample_dimension": "obs"})
        elif layout == "indexed":
            data["index"] = ("obs", [0, 0, 0, 1, 1, 1, 1], {"instance_dimension": "trajectory"})
        else:
            data["platform"] = ("obs", tracks)
    for name, unit in units.items():
        data[name].attrs["units"] = unit
    data.to_netcdf(tmp_path / "tracks.nc")
    read = read_stations(tmp_path / "tracks.nc", "'tracks.nc'")
    np.testing.assert_array_equal(read[["latitude", "longitude", "value"]], table[["lat", "lon", "t"]])
    np.testing.assert_array_equal(read["time"], table["time"])
    assert set(read["units"]) == {"degC"} and read["variable"].tolist() == ["t"] * 7
    assert read.groupby("track").size().tolist() == [3, 4]
    named = read_stations(tmp_path / "tracks.nc", "'tracks.nc'", {"sst": "t"})
    assert set(named["variable"]) == {"sst"}


def test_other_files_and_mappings_are_refused(tmp_path: Path) -> None:
    grid = xr.Dataset(
        {"t": (("time", "lat", "lon"), np.zeros((2, 2, 2)))},
        {"time": pd.date_range("2001", periods=2), "lat": [0.0, 1.0], "lon": [0.0, 1.0]},
    )
    grid.to_netcdf(tmp_path / "grid.nc")
    with pytest.raises(InputError, match="is no file of readings along tracks, whose times, latitudes"):
        read_stations(tmp_path / "grid.nc", "'grid.nc'")
    table = altimeter(passes=1)
    with pytest.raises(
        InputError, match="quantities map sla, but readings along tracks are gridded without one"
    ):
        fieldcast.grid_stations(table, resolution=1.0, quantities={"sla": "quantiles"})
    with pytest.raises(InputError, match="the step is 0 hours"):
        fieldcast.grid_stations(table, resolution=1.0, step=0.0)
