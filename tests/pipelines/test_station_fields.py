"""The pipeline station_fields gives the fields of the Python function, with scores, text and maps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pyproj import Transformer

import fieldcast
from fieldcast.errors import InputError


def readings(stations: int, days: int = 10) -> pd.DataFrame:
    """Waves that pass a network."""
    rng = np.random.default_rng(0)
    places = pd.DataFrame({"lat": rng.uniform(45, 55, stations), "lon": rng.uniform(0, 20, stations)})
    table = places.merge(pd.DataFrame({"time": pd.date_range("2001-01-01", periods=days)}), "cross")
    wave = np.sin(table["lon"] / 5 + table["time"].dt.day) + 0.1 * rng.standard_normal(len(table))
    return table.assign(variable="t", units="K", value=280 + 3 * wave)


def test_kedro_and_python_give_the_same_values(project: Callable[..., Any], tmp_path: Path) -> None:
    """Six stations are too few for scores."""
    path, output = tmp_path / "gauges.csv", tmp_path / "grid.nc"
    readings(6).to_csv(path, index=False)
    given = {"stations": str(path), "resolution": 5.0, "output": str(output)}
    project("station_fields", data_root=tmp_path / "data", parameters={"station_fields": given})
    expected = fieldcast.grid_stations(path, resolution=5.0)
    with xr.open_dataset(output) as written:
        for name in ("t", "t_spread", "t_flag"):
            np.testing.assert_array_equal(written[name], expected[name])
        assert written.attrs["comment"] == expected.attrs["comment"]
    reports = tmp_path / "data/08_reporting"
    assert (reports / "station_fields.txt").read_text().startswith(expected.attrs["comment"])
    drawn = [file.name for file in reports.glob("figures/station_fields/*.png")]
    assert drawn == ["t_variogram.png"] and "no scores" in expected.attrs["comment"]
    assert "covariance of anomalies: model" in expected.attrs["comment"]
    assert len(pd.read_csv(reports / "variogram_station_fields.csv"))


def test_scores_and_maps_are_stored(project: Callable[..., Any], tmp_path: Path) -> None:
    path, like = tmp_path / "gauges.csv", tmp_path / "like.nc"
    readings(22, days=6).to_csv(path, index=False)
    axes = {"latitude": np.linspace(45.0, 55.0, 4), "longitude": np.linspace(0.0, 20.0, 5)}
    attrs = {"latitude": {"units": "degrees_north"}, "longitude": {"units": "degrees_east"}}
    grid = xr.Dataset({"t": (("latitude", "longitude"), np.zeros((4, 5)))}, axes)
    for name, values in attrs.items():
        grid[name].attrs |= values
    grid.to_netcdf(like)
    other = xr.Dataset(
        {
            "elevation": 0 * grid["t"] + 50,
            "land_mask": (grid["t"].dims, np.tile(np.arange(5) < 4, (4, 1)) * 1),
        }
    )
    for name in other:
        other[[name]].to_netcdf(tmp_path / f"{name}.nc")
    given = {
        "stations": str(path), "like": str(like), "dem": str(tmp_path / "elevation.nc"), "accept": "all",
        "mask": str(tmp_path / "land_mask.nc"), "covariance": "model=exponential range=500",
    }  # fmt: skip
    project("station_fields", data_root=tmp_path / "data", parameters={"station_fields": given})
    reports = tmp_path / "data/08_reporting"
    drawn = sorted(file.name for file in reports.glob("figures/station_fields/*.png"))
    assert drawn == ["t_stations.png", "t_variogram.png"]
    assert len(pd.read_csv(reports / "scores_by_gauge.csv")) == 4 * 22
    with xr.open_dataset(tmp_path / "data/07_model_output/station_fields.nc") as written:
        assert written["t"].shape == (6, 4, 5) and written["t"][..., :4].notnull().all()
        assert written["t"][..., 4].isnull().all() and (written["t_flag"][..., 4] == 3).all()
        assert (written["surface_altitude"] == 50).all()
        assert "model exponential" in written.attrs["comment"] and "range 500 km" in written.attrs["comment"]


def test_quantities_are_those_of_ingestion(project: Callable[..., Any], tmp_path: Path) -> None:
    """A mapping is named for one variable, and chosen for the other."""
    path, output = tmp_path / "gauges.csv", tmp_path / "grid.nc"
    table = readings(6, days=5)
    rain = table.assign(variable="tp", units="mm", value=(table["value"] - 280).clip(lower=0))
    pd.concat([table, rain]).to_csv(path, index=False)
    parameters = {
        "station_fields": {"stations": str(path), "resolution": 5.0, "output": str(output)},
        "ingestion": {"quantities": {"tp": "root"}},
    }
    project("station_fields", data_root=tmp_path / "data", parameters=parameters)
    with xr.open_dataset(output) as written:
        assert written.attrs["fieldcast_quantities"] == "tp=root" and "t_median" not in written
        assert written["tp"].min() >= 0 and (written["tp_p05"] <= written["tp_p95"]).all()


def test_a_table_as_it_comes_gives_the_fields_of_a_plain_one(
    project: Callable[..., Any], tmp_path: Path
) -> None:
    """Semicolons, decimal commas, other headings, x and y in metres, identical rows and codes for missing values."""
    table = readings(6).round({"value": 2, "lat": 4, "lon": 4})
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:3035", always_xy=True).transform(
        table["lon"], table["lat"]
    )
    comes = table.assign(X=x, Y=y, Datum=table["time"].dt.strftime("%d.%m.%Y"), Messung=table["value"])
    comes.loc[4, "Messung"] = -9999.0
    comes = pd.concat([comes, comes.iloc[:3]])[["Datum", "X", "Y", "variable", "Messung", "units"]]
    path, output = tmp_path / "gauges.csv", tmp_path / "grid.nc"
    comes.to_csv(path, index=False, sep=";", decimal=",")
    options = {"columns": {"time": "Datum", "value": "Messung"}, "crs": "EPSG:3035"}
    given = {"stations": str(path), "resolution": 5.0, "output": str(output), **options}
    project("station_fields", data_root=tmp_path / "data", parameters={"station_fields": given})
    expected = fieldcast.grid_stations(table.drop(index=4), resolution=5.0)
    of_frame = fieldcast.grid_stations(comes, resolution=5.0, **options)
    with xr.open_dataset(output) as written:
        for name in ("t", "t_spread"):
            np.testing.assert_allclose(written[name], expected[name], atol=0.1)  # the fit differs by rounding
            np.testing.assert_allclose(of_frame[name], expected[name], atol=0.1)


def test_tracks_are_gridded_and_their_passes_mapped(project: Callable[..., Any], tmp_path: Path) -> None:
    """A ship that crosses the region twelve times; the table has no stations."""
    rng, parts = np.random.default_rng(0), []
    for day in range(12):
        lat = np.linspace(45, 55, 20)
        lon = rng.uniform(2, 18) + rng.uniform(-0.4, 0.4) * (lat - 50)
        time = pd.Timestamp("2001-01-01") + pd.to_timedelta(24 * day + np.arange(20) / 2, "h")
        value = 15 + np.sin(lon / 4 + day / 4) + np.cos(lat / 3) + 0.1 * rng.standard_normal(20)
        parts.append(pd.DataFrame({"time": time, "lat": lat, "lon": lon, "ship": "A", "sst [degC]": value}))
    path, output = tmp_path / "ship.csv", tmp_path / "grid.nc"
    pd.concat(parts).to_csv(path, index=False, sep=";", decimal=",")
    given = {"stations": str(path), "resolution": 2.0, "output": str(output)}
    project("station_fields", data_root=tmp_path / "data", parameters={"station_fields": given})
    reports = tmp_path / "data/08_reporting"
    assert [file.name for file in reports.glob("figures/station_fields/*.png")] == ["sst_stations.png"]
    scores = pd.read_csv(reports / "station_fields.csv").set_index(["score", "experiment"])["value"]
    assert scores["rmse", "kriging"] < 0.7 * scores["rmse", "climatology"]
    with xr.open_dataset(output) as written:
        expected = fieldcast.grid_stations(path, resolution=2.0)
        np.testing.assert_array_equal(written["sst"], expected["sst"])
        assert written["sst"].attrs["units"] == "degC" and "12 passes" in written.attrs["comment"]


def test_the_result_does_not_replace_the_table(project: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "gauges.csv"
    readings(6).to_csv(path, index=False)
    given = {"stations": str(path), "resolution": 5.0, "output": str(path)}
    with pytest.raises(InputError, match=r"station_fields.output is station_fields.stations itself"):
        project("station_fields", data_root=tmp_path / "data", parameters={"station_fields": given})
    with pytest.raises(InputError, match=r"station_fields.stations is not set"):
        project("station_fields", data_root=tmp_path / "data")
