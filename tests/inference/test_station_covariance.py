"""The covariance that users set and read, its variogram, and a land mask."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast.errors import InputError
from fieldcast.fields.gauges import Gauges
from fieldcast.figures.maps import variograms
from fieldcast.geometry import MEAN_EARTH_RADIUS, unit_points
from fieldcast.inference.stations.covariance import Parameters, fixed_covariance, variogram
from fieldcast.inference.stations.elevation import LandMask
from fieldcast.inference.stations.gridding import grid_and_score
from fieldcast.inference.stations.kriging import FREE, StationKriging

STATIONS, TIMES, SIGMA, NUGGET, LENGTH = 60, 300, 3.0, 0.2, 0.05
CPU = torch.device("cpu")


def readings() -> pd.DataFrame:
    """Independent draws of a field with a Matern covariance of smoothness 3/2 and a nugget."""
    rng = np.random.default_rng(1)
    latitude, longitude = rng.uniform(40, 50, STATIONS), rng.uniform(0, 15, STATIONS)
    points = np.concatenate([unit_points([y], [x])[0] for y, x in zip(latitude, longitude, strict=True)])
    s = np.linalg.norm(points[:, None] - points, axis=-1) / LENGTH * np.sqrt(3)
    root = np.linalg.cholesky((1 - NUGGET) * (1 + s) * np.exp(-s) + (NUGGET + 1e-9) * np.eye(STATIONS))
    x = 280 + SIGMA * rng.normal(size=(TIMES, STATIONS)) @ root.T
    days = pd.date_range("2001-01-01", periods=TIMES)
    table = {
        "time": np.repeat(days, STATIONS), "lat": np.tile(latitude, TIMES), "lon": np.tile(longitude, TIMES),
        "variable": "t", "value": x.ravel(), "units": "K",
    }  # fmt: skip
    return pd.DataFrame(table)


@pytest.fixture(scope="module")
def record():
    return Gauges.read(readings(), None, "'t'").of("t")[0]


def test_the_variogram_and_its_parameters_are_those_of_the_field(record) -> None:
    kriging = StationKriging.fit(record, 0, CPU)
    parameters = Parameters.of(kriging)
    assert parameters.sill == pytest.approx(SIGMA**2, rel=0.1)
    assert parameters.nugget == pytest.approx(NUGGET * SIGMA**2, rel=0.4)
    table = variogram("t", kriging)
    s = 2 * np.sin(table["distance_km"] / MEAN_EARTH_RADIUS / 2) / LENGTH * np.sqrt(3)
    truth = SIGMA**2 * (1 - (1 - NUGGET) * (1 + s) * np.exp(-s))
    np.testing.assert_allclose(table["empirical"], truth, rtol=0.12)
    np.testing.assert_allclose(table["fitted"], truth, rtol=0.2)
    assert "sill " in parameters.text("K", FREE) and "(K)^2" in parameters.text("K", FREE)
    assert [name for name, _ in variograms(table)] == ["t_variogram"]


def test_given_parameters_are_kept(record) -> None:
    text = "model=exponential, range=400 time=2 sill=16 nugget=4"
    fixed = fixed_covariance(text, "t", ["t"])
    assert fixed == fixed_covariance({"t": text}, "t", ["t"])
    assert fixed_covariance({"t": text}, "z", ["t", "z"]) == fixed_covariance(None, "z", ["t"]) == FREE
    kriging = StationKriging.fit(record, 0, CPU, fixed=fixed)
    parameters = Parameters.of(kriging)
    assert parameters.model == "exponential"
    np.testing.assert_allclose(parameters[1:], (16, 4, 400, 2), rtol=1e-5)
    assert parameters.text("K", fixed).endswith("fixed: model, range, time, sill, nugget")
    predicted = kriging.at(-record.points[:1])  # far from all readings
    constant = kriging.climate.at(-record.points[:1])
    np.testing.assert_allclose(constant.deviation, 4.0)
    np.testing.assert_allclose(predicted.climatological - constant.variance[0, 0], 16.0, rtol=1e-6)
    half = fixed_covariance({"nugget": 3}, "t", ["t"])
    free = Parameters.of(StationKriging.fit(record, 0, CPU, fixed=half))
    assert free.nugget == pytest.approx(3, rel=1e-5) and free.sill == pytest.approx(9, rel=0.1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("rang=3", "covariance has no rang: give some of model"),
        ("model=linear", "covariance has no model 'linear': give exponential, matern32, matern52"),
        ("range=far", "covariance has range=far, not a positive number"),
        ({"sill": -1}, "covariance has sill=-1, not a positive number"),
        ("sill=2 nugget=3", "a nugget of 3, which is part of the sill of 2"),
        ({"t": "range=3", "q": "range=3"}, "covariance names q, but the table has t"),
    ],
)
def test_parameters_that_make_no_covariance_are_refused(given, message) -> None:
    with pytest.raises(InputError, match=message):
        fixed_covariance(given, "t", ["t"])


def coast() -> xr.Dataset:
    """Land from 4 to 7 degrees east, between two seas."""
    axes = {"latitude": np.arange(40.0, 51.0), "longitude": np.arange(0.0, 13.0)}
    land = np.tile((axes["longitude"] >= 4) & (axes["longitude"] <= 7), (11, 1)).astype(np.int8)
    mask = xr.Dataset({"land_mask": (("latitude", "longitude"), land)}, axes)
    for name, units in (("latitude", "degrees_north"), ("longitude", "degrees_east")):
        mask[name].attrs["units"] = units
    return mask


def buoys() -> pd.DataFrame:
    """Three buoys on either side, near to each other."""
    rng = np.random.default_rng(0)
    places = pd.DataFrame(
        {"lat": [44.0, 45.0, 46.0] * 2, "lon": [1.0, 1.5, 2.0, 10.0, 10.5, 11.0], "station": list("abcdef")}
    )
    table = places.merge(pd.DataFrame({"time": pd.date_range("2001-01-01", periods=12)}), "cross")
    return table.assign(variable="sst", units="degC", value=10 + rng.normal(size=len(table)))


def test_only_cells_like_those_of_the_stations_have_values() -> None:
    mask = coast()
    masked = fieldcast.grid_stations(buoys(), like=mask, mask=mask, device="cpu")
    whole = fieldcast.grid_stations(buoys(), like=mask, device="cpu")
    land = mask["land_mask"].values == 1
    assert masked["sst"].values[:, land].size and np.isnan(masked["sst"].values[:, land]).all()
    assert np.isnan(masked["sst_spread"].values[:, land]).all()
    assert (masked["sst_flag"].values[:, land] == 3).all() and masked["sst_flag"].dtype == np.int8
    np.testing.assert_array_equal(masked["sst"].values[:, ~land], whole["sst"].values[:, ~land])
    inverse = 1 - mask.rename(land_mask="sea_mask")
    inverse = fieldcast.grid_stations(
        buoys(), like=mask, mask=inverse.assign_coords(mask.coords), device="cpu"
    )
    np.testing.assert_array_equal(inverse["sst"], masked["sst"])


def test_distances_that_cross_land_are_counted() -> None:
    """Each buoy has two others on its side, and two across."""
    locations = buoys()[["lat", "lon", "station"]].drop_duplicates()
    locations = locations.rename(columns={"lat": "latitude", "lon": "longitude"})
    mask = LandMask.of(coast(), locations, "mask")
    text = mask.text(locations)
    same, across = 6, {(i, j) for i in range(3) for j in range(3, 6)}
    total = int(text.split(" distances")[0].split(" of ")[-1])
    crossing = int(text.split("; ")[1].split(" of ")[0])
    assert total - crossing == same and 0 < crossing <= len(across)
    one_sea = LandMask.of(coast(), locations[:3], "mask").text(locations[:3].reset_index(drop=True))
    assert "0 of 3 distances between neighbouring stations cross other cells: the covariance" in one_sea


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: mask * 0, "its mask has values from 0 to 0, not 0 and 1"),
        (lambda mask: mask.assign(land_mask=mask["land_mask"] * 7), "its mask has values from 0 to 7"),
        (lambda mask: mask.isel(latitude=slice(0, 3)), "but the grid is larger: give one of the whole grid"),
        (lambda mask: mask.rename(land_mask="a").assign(b=mask["land_mask"]), "has no variable 'land_mask'"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(change, message) -> None:
    mask = coast()
    with pytest.raises(InputError, match=message):
        fieldcast.grid_stations(
            buoys(), like=mask, mask=change(mask).assign_coords(longitude=mask["longitude"])
        )


def test_a_fixed_covariance_is_in_the_report_and_the_field() -> None:
    result = grid_and_score(
        buoys(), 5.0, None, None, 0, "cpu", "'t'", "none", covariance="range=300 model=matern52"
    )
    assert (
        "model matern52" in result.text
        and "range 300 km" in result.text
        and "fixed: model, range" in result.text
    )
