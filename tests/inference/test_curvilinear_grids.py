"""Grids that are not latitude by longitude: gaps are filled as on a regular grid, and other tasks refuse them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

import fieldcast
from fieldcast.errors import InputError
from fieldcast.fields.conventions import to_contract
from fieldcast.fields.grids import with_latitudes
from fieldcast.fields.ingest import ingest, ingest_source
from fieldcast.fields.options import Source
from fieldcast.figures.gaps import maps
from fieldcast.figures.sheet import outline
from fieldcast.geometry import areas_of, cell_areas, great_circle_km, points_of, unit_points
from fieldcast.inference.result_attributes import to_model_names

LATITUDE, LONGITUDE = np.arange(-7.0, 8, 2), np.arange(-7.0, 8, 2)
TIME = np.datetime64("2001-01-01", "ns") + np.arange(50).astype("m8[D]")


@pytest.fixture(scope="module")
def field() -> tuple[np.ndarray, np.ndarray]:
    """Waves, and which of their values are missing."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    a = np.zeros((50, 5))
    for t in range(1, 50):
        a[t] = 0.8 * a[t - 1] + 0.6 * rng.normal(size=5)
    waves = np.array([np.cos(np.deg2rad(9 * (k + 1) * x + 14 * k * y) + k) for k in range(5)])
    values = 280 + 3 * np.einsum("tk,kyx->tyx", a, waves) + 0.2 * rng.normal(size=(50, 8, 8))
    return values.astype("f4"), rng.random(values.shape) < 0.35


def turned(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes of the grid, turned about its centre and moved 40 degrees to the north."""
    points, a, b = unit_points(LATITUDE, LONGITUDE), np.deg2rad(angle), np.deg2rad(40.0)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    x, y, z = np.moveaxis(points @ about_x.T @ about_y.T, -1, 0)
    return np.rad2deg(np.arcsin(z)), np.rad2deg(np.arctan2(y, x))


def record(values: np.ndarray, latitude: np.ndarray, longitude: np.ndarray) -> xr.Dataset:
    dims = ("y", "x")
    return xr.Dataset(
        {"t": (("time", *dims), values, {"units": "K"})},
        {
            "time": TIME,
            "lat": (dims, latitude, {"units": "degrees_north"}),
            "lon": (dims, longitude, {"units": "degrees_east"}),
        },
    )


@pytest.fixture(scope="module")
def results(field: tuple[np.ndarray, np.ndarray]) -> dict[str, xr.Dataset]:
    """The field filled on a regular grid, and on the same grid turned by 30 degrees."""
    values, missing = field
    gappy = np.where(missing, np.nan, values)
    regular = record(gappy, *np.meshgrid(LATITUDE, LONGITUDE, indexing="ij"))
    oblique = record(gappy, *turned(30.0)).assign(crs=((), np.int32(0), PROJECTIONS["rotated"]))
    oblique["t"].attrs |= {"grid_mapping": "crs", "flag_values": [-1.0, -2.0], "flag_meanings": "land coast"}
    return {
        "regular": fieldcast.fill_gaps(regular, quantities="none"),
        "turned": fieldcast.fill_gaps(oblique, quantities="none"),
    }


def test_a_turned_grid_is_filled_as_well_as_a_regular_one(
    field: tuple[np.ndarray, np.ndarray], results: dict[str, xr.Dataset]
) -> None:
    values, missing = field
    rmse = {
        name: float(np.sqrt(np.mean((result["t"].values - values)[missing] ** 2)))
        for name, result in results.items()
    }
    assert rmse["turned"] == pytest.approx(rmse["regular"], rel=0.05) and rmse["regular"] < 1.5
    latitude, longitude = turned(30.0)
    np.testing.assert_array_equal(results["turned"]["lat"], latitude)
    np.testing.assert_array_equal(results["turned"]["lon"], longitude)
    assert results["turned"]["t"].dims == ("time", "y", "x")
    observed = np.where(missing, np.nan, values)
    np.testing.assert_array_equal(results["turned"]["t"].values[~missing], observed[~missing])


def test_results_keep_the_projection_and_no_codes(results: dict[str, xr.Dataset]) -> None:
    turned = results["turned"]
    assert turned["crs"].attrs == PROJECTIONS["rotated"]
    assert {turned[name].attrs["grid_mapping"] for name in ("t", "t_mean", "t_spread", "t_flag")} == {"crs"}
    assert not {"flag_values", "flag_meanings"} & {*turned["t"].attrs}
    assert "crs" not in results["regular"]


def test_maps_are_drawn_on_the_grid(
    field: tuple[np.ndarray, np.ndarray], results: dict[str, xr.Dataset]
) -> None:
    values, missing = field
    fields, _ = ingest(
        record(np.where(missing, np.nan, values), *turned(30.0)), gaps="insert", missing="train"
    )
    filled = to_model_names(results["turned"], fields)
    lines = outline(fields)  # southern France and Spain, in the numbers of rows and columns
    assert lines and all(np.abs(line).max() < 8 for line in lines)
    figure = maps(filled, "t", lines)
    assert not [text for text in figure.axes[0].texts if "°" in text.get_text()]


def test_rows_that_run_down_are_numbered_down() -> None:
    """The map of a grid whose first row is the northernmost is that of the same grid whose last row is."""
    up = record(np.random.default_rng(0).normal(size=(50, 8, 8)).astype("f4"), *turned(30.0))
    down = to_contract(up.isel(y=slice(None, None, -1)), curvilinear=True)
    xr.testing.assert_allclose(down.sortby("latitude"), to_contract(up, curvilinear=True))


def test_areas_and_points_are_those_of_the_cells() -> None:
    data = record(np.zeros((50, 8, 8), "f4"), *turned(0.0))
    fields = to_contract(data, curvilinear=True)
    turns = np.rad2deg(np.arccos(np.clip(points_of(fields)[0, 0] @ points_of(fields)[-1, -1], -1, 1)))
    points = unit_points(LATITUDE, LONGITUDE)
    assert turns == pytest.approx(np.rad2deg(np.arccos(points[0, 0] @ points[-1, -1])))
    np.testing.assert_allclose(areas_of(fields), cell_areas(LATITUDE, LONGITUDE), rtol=0.002)


PROJECTIONS = {
    "polar": CRS.from_epsg(3411).to_cf(),  # the grid of NSIDC
    "text": {"spatial_ref": CRS.from_epsg(3035).to_wkt()},
    "PROJ": {"proj4text": "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80 +units=m"},
    "EPSG": {"srid": "urn:ogc:def:crs:EPSG::3035"},
    "km": {"proj4text": "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80 +units=km"},
    "rotated": {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
    },
}


# x and y of the first cell in metres or degrees, and its latitude and longitude: the origin of each projection
FIRST = {
    "polar": (0.0, -2.4e6, None, -45.0),
    **dict.fromkeys(("text", "PROJ", "EPSG", "km"), (4.321e6, 3.21e6, 52.0, 10.0)),
    "rotated": (0.0, 0.0, 50.75, 18.0),
}


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_x_and_y_of_a_projection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, field: tuple[np.ndarray, np.ndarray]
) -> None:
    """The origin of a projection has its latitude and longitude; kilometres are understood."""
    x, y, latitude, longitude = FIRST[kind]
    rotated = kind == "rotated"
    step, units = (1.0, "degrees") if rotated else (25.0, "km")
    names = [
        f"grid_{n}" if rotated else f"projection_{c}_coordinate"
        for n, c in (("longitude", "x"), ("latitude", "y"))
    ]
    scale = 1.0 if rotated else 1e3
    values, missing = field
    gappy = (("time", "yc", "xc"), np.where(missing, np.nan, values), {"units": "K", "grid_mapping": "crs"})
    data = xr.Dataset(
        {"t": gappy, "crs": ((), 0, PROJECTIONS[kind])},
        {
            "time": TIME,
            "xc": ("xc", x / scale + step * np.arange(8), {"units": units, "standard_name": names[0]}),
            "yc": ("yc", y / scale + step * np.arange(8), {"units": units, "standard_name": names[1]}),
        },
    )
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyproj", None)
        with pytest.raises(InputError, match=r"it is on a projected grid \('crs'\), .* `pip install pyproj`"):
            with_latitudes(data, "it")
    read = with_latitudes(data, "it")
    assert float(read["lon"][0, 0]) == pytest.approx(longitude, abs=1e-6)
    if latitude is None:  # the scale is true at 70 degrees
        assert 60 < float(read["lat"][0, 0]) < 70 and float(read["lat"][3, 0]) > float(read["lat"][0, 0])
    else:
        assert float(read["lat"][0, 0]) == pytest.approx(latitude, abs=1e-6)
    path = tmp_path / "ice.nc"
    data.to_netcdf(path)
    fields, _ = ingest_source(Source(path=str(path), gaps="keep", missing="train"))
    np.testing.assert_allclose(fields["true_latitude"], read["lat"])
    with pytest.raises(
        InputError, match=r"ice.nc' is on a curvilinear grid \(lat, lon\): interpolate it to a regular"
    ):
        ingest_source(Source(path=str(path), missing="train"))


@pytest.mark.parametrize("units", ["metre", "1000 meter", "km", ""])
def test_units_of_x_and_y(units: str) -> None:
    """The step is 25 km in each unit; without one it may be either, and is taken only for metres."""
    step = 25.0 if units in ("km", "1000 meter") else 25e3
    coords = {axis: (axis, step * np.arange(8), {"units": units} if units else {}) for axis in "xy"}
    data = xr.Dataset({"t": (("y", "x"), np.zeros((8, 8))), "crs": ((), 0, PROJECTIONS["polar"])}, coords)
    read = with_latitudes(data, "it")
    first, second = (unit_points(read["lat"][0, [i]], read["lon"][0, [i]])[0, 0] for i in (0, 1))
    apart = great_circle_km(float(np.linalg.norm(first - second)))
    assert apart == pytest.approx(25 / 0.97, rel=0.01)  # of a scale that is true at 70 degrees
    without = data.assign_coords(x=np.arange(8) * 25.0, y=np.arange(8) * 25.0)
    with pytest.raises(InputError, match=r"'x' of it has no units, and steps of 25: add its attribute units"):
        with_latitudes(without, "it")
    with pytest.raises(InputError, match=r"it is on 'x' and 'y' without a description of their projection"):
        with_latitudes(data.drop_vars("crs"), "it")


def test_wrf_repeats_its_coordinates_for_each_time() -> None:
    latitude, longitude = turned(10.0)
    dims = ("Time", "south_north", "west_east")
    times = np.array([str(time)[:19].replace("T", "_") for time in TIME], "S19")
    data = xr.Dataset(
        {
            "T2": (dims, np.random.default_rng(0).normal(size=(50, 8, 8)).astype("f4"), {"units": "K"}),
            "Times": ("Time", times),
            "XLAT": (dims, np.broadcast_to(latitude, (50, 8, 8)), {"units": "degree_north"}),
            "XLONG": (dims, np.broadcast_to(longitude, (50, 8, 8)), {"units": "degree_east"}),
        }
    )
    fields, _ = ingest(data, gaps="insert", missing="train")
    np.testing.assert_array_equal(fields["true_longitude"], longitude)
    np.testing.assert_array_equal(fields["time"], TIME)
    with pytest.raises(InputError, match=r"it is on a curvilinear grid \(XLAT, XLONG\): interpolate it"):
        ingest(data, "it")
    moving = data.assign(XLAT=data["XLAT"] + xr.DataArray(np.arange(50), dims="Time"))
    moving["XLAT"].attrs = data["XLAT"].attrs
    with pytest.raises(InputError, match="the latitude 'XLAT' of it changes in time"):
        ingest(moving, "it")


def test_a_network_refuses_the_grid(field: tuple[np.ndarray, np.ndarray]) -> None:
    values, missing = field
    gappy = record(np.where(missing, np.nan, values), *turned(30.0))
    with pytest.raises(InputError, match="curvilinear grid, and models need one of latitudes by longitudes"):
        fieldcast.fill_gaps(gappy, quantities="none", learned=True)
    with pytest.raises(InputError, match="curvilinear grid"):
        fieldcast.fit(gappy, "reconstruct.optimal_interpolation", missing="train")
