"""The variety of real files: each has the same weather in another layout, and each is read as the same fields."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.conventions import (
    names_in_file,
    select_variables,
    short,
    static,
    time_varying,
    to_contract,
)

Make = Callable[..., xr.Dataset]
DIMS = ("time", "latitude", "longitude")


def with_levels(data: xr.Dataset, name: str = "level", scale: float = 1.0) -> xr.Dataset:
    levels = xr.concat([data["msl"], 2 * data["msl"]], dim=name).assign_coords(
        {name: [500 * scale, 850 * scale]}
    )
    if scale != 1:
        levels[name].attrs["units"] = "Pa"
    return levels.rename("geopotential").assign_attrs(long_name="Geopotential").to_dataset()


LAYOUTS: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "valid_time": lambda d: d.rename(time="valid_time"),
    "lat and lon": lambda d: d.rename(latitude="lat", longitude="lon"),
    "names only by attributes": lambda d: d.rename(latitude="rows", longitude="columns", time="epoch"),
    "names without attributes": lambda d: (
        d.rename(latitude="lat", longitude="lon")
        .drop_attrs(deep=False)
        .assign_coords(lat=d["latitude"].values, lon=d["longitude"].values)
    ),
    "other order": lambda d: d.transpose("longitude", "time", "latitude"),
    "float64": lambda d: d.astype(np.float64),
    "number of one": lambda d: d.expand_dims(number=[0]),
    "expver coordinate": lambda d: d.assign_coords(expver=("time", ["0001"] * d.sizes["time"]), number=0),
    "expver dimension": lambda d: xr.concat(
        [d.where(d["time"] < d["time"][20]), d.where(d["time"] >= d["time"][20])], dim="expver"
    ).assign_coords(expver=[1, 5]),
    "coordinates apart from dimensions": lambda d: (
        d.rename(latitude="y", longitude="x", time="t")
        .reset_index(["y", "x", "t"])
        .rename(y="lat", x="lon", t="date")
    ),
    "bounds": lambda d: d.assign(
        time_bnds=(("time", "bnds"), np.stack([d["time"].values] * 2, axis=1)),
        lat_bnds=(("latitude", "bnds"), np.zeros((d.sizes["latitude"], 2))),
    ),
    "cfgrib": lambda d: d.assign_coords(valid_time=("time", d["time"].values), step=pd.Timedelta(0)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_weather_in_another_layout(make_weather: Make, layout: str) -> None:
    data = make_weather(times=40)
    fields = to_contract(LAYOUTS[layout](data).chunk())
    for name in ("t2m", "msl"):
        assert (
            fields[name].dims == DIMS and fields[name].dtype == np.float32 and fields[name].chunks is not None
        )
        assert np.array_equal(fields[name], data[name])
        assert fields[name].attrs["units"] == data[name].attrs["units"]
    assert set(fields.coords) == set(DIMS) and set(fields.data_vars) == {"t2m", "msl"}
    assert all(np.array_equal(fields[dim], data[dim]) for dim in DIMS)
    assert fields["latitude"].attrs["units"] == "degrees_north"


@pytest.mark.parametrize(("name", "scale"), [("level", 1.0), ("pressure_level", 1.0), ("plev", 100.0)])
def test_levels_become_variables(make_weather: Make, name: str, scale: float) -> None:
    data = make_weather(times=40)
    fields = to_contract(with_levels(data, name, scale))
    assert list(fields.data_vars) == ["z500", "z850"]
    assert (
        np.array_equal(fields["z850"], 2 * data["msl"])
        and fields["z500"].attrs["long_name"] == "Geopotential at 500"
    )
    assert list(to_contract(with_levels(data), levels=[850.0]).data_vars) == ["z850"]


def test_variables_are_recognised_by_any_of_their_names(make_weather: Make) -> None:
    data = xr.merge([with_levels(make_weather()), make_weather().rename(t2m="2m_temperature")])
    for requested, names in {
        "z500": ["z500"], "geopotential500": ["z500"], "geopotential": ["z500", "z850"],
        "z": ["z500", "z850"],
        "2m_temperature": ["t2m"], "t2m": ["t2m"], "msl": ["msl"],
    }.items():  # fmt: skip
        fields = to_contract(data, requested=[requested])
        assert list(select_variables(fields, [requested], "it").data_vars) == names
    ordered = to_contract(data, requested=["t2m", "z850"])
    assert list(select_variables(ordered, ["t2m", "z850"], "it").data_vars) == ["t2m", "z850"]
    with pytest.raises(InputError, match="variable '2m_temperatur' is not in it: the nearest is '2m_temp"):
        select_variables(to_contract(data), ["2m_temperatur"], "it")


def test_variables_that_would_have_one_short_name_keep_their_own(make_weather: Make) -> None:
    data = make_weather()
    data = data.assign({"2m_temperature": data["t2m"] + 1, "total_column_vapor": data["msl"]})
    data = data.assign(total_column_water_vapour=data["msl"] + 1)
    both = to_contract(data, "it")
    for name in data.data_vars:
        np.testing.assert_array_equal(both[name], data[name])
    for name in ("t2m", "2m_temperature"):
        chosen = select_variables(to_contract(data, "it", requested=[name]), [name], "it")
        assert list(chosen.data_vars) == [name]
        np.testing.assert_array_equal(chosen[name], data[name])


def test_a_level_and_a_variable_of_one_name_are_refused(make_weather: Make) -> None:
    data = with_levels(make_weather()).assign(z500=make_weather()["msl"])
    with pytest.raises(
        InputError, match=r"of it would both be called 'z500', one of them of 'z500': drop one"
    ):
        to_contract(data, "it")
    assert list(to_contract(data, "it", levels=[850.0]).data_vars) == ["z850", "z500"]


def test_static_variables_stay(make_weather: Make) -> None:
    data = make_weather()
    data["orography"] = data["t2m"][0].drop_vars("time").assign_attrs(units="m")
    fields = to_contract(data)
    assert static(fields) == ["orography"] and time_varying(fields) == ["t2m", "msl"]


def test_one_time_a_file(make_weather: Make) -> None:
    fields = to_contract(make_weather().isel(time=3))
    assert fields.sizes["time"] == 1 and fields["t2m"].dims == DIMS


def curvilinear(data: xr.Dataset) -> xr.Dataset:
    y, x = xr.broadcast(data["latitude"], data["longitude"])
    renamed = data.drop_vars(["latitude", "longitude"]).rename(latitude="y", longitude="x")
    return renamed.assign_coords(lat=(("y", "x"), y.values, {"units": "degrees_north"}),
                                 lon=(("y", "x"), x.values, {"units": "degrees_east"}))  # fmt: skip


@pytest.mark.parametrize("transposed", [False, True])
def test_separable_coordinates_in_two_dimensions_are_those_of_a_regular_grid(
    make_weather: Make, transposed: bool
) -> None:
    data = make_weather(times=40)
    stored = curvilinear(data)
    stored = stored.transpose("x", "y", "time") if transposed else stored
    fields = to_contract(stored)
    xr.testing.assert_equal(fields[["t2m", "msl"]], data)


def turned(data: xr.Dataset) -> xr.Dataset:
    grid = curvilinear(data)
    return grid.assign_coords(lat=grid["lat"] + 0.01 * grid["lon"])


def points(data: xr.Dataset) -> xr.Dataset:
    stacked = data.stack(cell=["latitude", "longitude"]).reset_index("cell")
    return stacked.reset_coords().set_coords(["latitude", "longitude"])


def described(name: str, **attrs: str) -> Callable[[xr.Dataset], xr.Dataset]:
    """The coordinates as `lat` and `lon`, the one of `name` with these attributes."""

    def layout(data: xr.Dataset) -> xr.Dataset:
        data = data.rename(latitude="lat", longitude="lon")
        data[name].attrs = attrs
        return data

    return layout


def mapped(kind: str) -> Callable[[xr.Dataset], xr.Dataset]:
    """All variables on a grid mapping of this kind (CF, section 5.6)."""

    def layout(data: xr.Dataset) -> xr.Dataset:
        for name in data.data_vars:
            data[name].attrs["grid_mapping"] = "crs"
        return data.assign(crs=((), 0, {"grid_mapping_name": kind}))

    return layout


def crs(key: str, text: str, name: str | None = "crs") -> Callable[[xr.Dataset], xr.Dataset]:
    """A grid mapping that only a text describes, as rioxarray and GDAL write it; coordinates without units."""

    def layout(data: xr.Dataset) -> xr.Dataset:
        data = data.rename(latitude="lat", longitude="lon")
        for axis in ("lat", "lon"):
            data[axis].attrs = {}
        for variable in data.data_vars if name else ():
            data[variable].encoding["grid_mapping"] = name
        return data.assign_coords({name or "spatial_ref": ((), 0, {key: text})})

    return layout


PROJECTED = 'PROJCS["WGS 84 / UTM zone 33N",GEOGCS["WGS 84",DATUM["WGS_1984"]]]'
GEOGRAPHIC = 'GEOGCS["WGS 84",DATUM["WGS_1984"],UNIT["degree",0.0174532925199433]]'


@pytest.mark.parametrize("units", ["radians", "radian", "rad"])
def test_radians_become_degrees(make_weather: Make, units: str) -> None:
    data = make_weather(times=40)
    radians = data.assign_coords(
        {axis: np.deg2rad(data[axis]).assign_attrs(units=units) for axis in DIMS[1:]}
    )
    fields = to_contract(radians.rename(latitude="lat", longitude="lon"))
    for axis in DIMS[1:]:
        np.testing.assert_allclose(fields[axis], data[axis], atol=1e-10)
        assert fields[axis].attrs["units"].startswith("degrees_")
    assert np.array_equal(fields["t2m"], data["t2m"])


def test_a_grid_mapping_of_latitudes_and_longitudes_is_fine(make_weather: Make) -> None:
    data = make_weather(times=40)
    xr.testing.assert_equal(to_contract(mapped("latitude_longitude")(data)), to_contract(data))
    for key in ("crs_wkt", "spatial_ref"):
        xr.testing.assert_equal(to_contract(crs(key, GEOGRAPHIC)(data)), to_contract(data))


REFUSED: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], str]] = {
    "kilometres": (
        described("lat", units="km"),
        "the latitude 'lat' of it is in 'km', not in degrees: convert",
    ),
    "metres": (
        described("lon", units="m"),
        "the longitude 'lon' of it is in 'm', not in degrees: convert it, or, if the grid is projected, interp",
    ),
    "rotated pole": (
        described("lat", standard_name="grid_latitude", units="degrees"),
        "the latitude 'lat' of it is a grid_latitude (its standard_name), not a latitude on the globe: interp",
    ),
    "projection": (
        described("lon", standard_name="projection_x_coordinate"),
        "'lon' of it is a projection_x_coordinate",
    ),
    "rotated grid mapping that was left behind": (
        lambda d: d.assign(t2m=d["t2m"].assign_attrs(grid_mapping="rotated_pole")),
        "variable 't2m' of it is on a rotated_pole grid (its grid_mapping 'rotated_pole'): int",
    ),
    "rotated grid mapping": (
        mapped("rotated_latitude_longitude"),
        "variable 't2m' of it is on a rotated_latitude_longitude grid (its grid_mapping 'crs'): int",
    ),
    "projection in a text": (
        crs("crs_wkt", PROJECTED),
        "variable 't2m' of it is on a projected grid (its grid_mapping 'crs'): int",
    ),
    "projection in another text": (
        crs("spatial_ref", 'PROJCRS["ETRS89 / LAEA Europe",BASEGEOGCRS["ETRS89"]]'),
        "variable 't2m' of it is on a projected grid (its grid_mapping 'crs'): int",
    ),
    "rotated pole in a text": (
        crs("crs_wkt", 'GEOGCRS["x",BASEGEOGCRS["WGS 84"],DERIVINGCONVERSION["Pole rotation"]]'),
        "variable 't2m' of it is on a rotated grid (its grid_mapping 'crs'): int",
    ),
    "projection that no variable names": (
        crs("crs_wkt", PROJECTED, name=None),
        "variable 't2m' of it is on a projected grid (its grid_mapping 'spatial_ref'): int",
    ),
    "curvilinear": (turned, "it is on a curvilinear grid (lat, lon): interpolate it"),
    "points": (points, "list of points"),
    "no time": (lambda d: d.isel(time=0, drop=True), "no time axis"),
    "no latitude": (lambda d: d.isel(latitude=0, drop=True), "no latitude"),
    "no dates": (lambda d: d.assign_coords(time=np.arange(60)), "does not hold dates"),
    "missing date": (
        lambda d: d.assign_coords(time=d["time"].where(d["time"] != d["time"][5])),
        "lacks 1 date of 60 (at position 6): fill it in",
    ),
    "members": (
        lambda d: xr.concat([d, d], dim="number"),
        "further dimension 'number' of size 2: select one index of it (dataset.isel(number=0); of an ensemble, one ",
    ),
}


@pytest.mark.parametrize("family", REFUSED)
def test_refused_in_one_sentence(make_weather: Make, family: str) -> None:
    spoil, message = REFUSED[family]
    with pytest.raises(InputError) as caught:
        to_contract(spoil(make_weather()), "it")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_members_of_an_unused_variable_are_ignored(make_weather: Make) -> None:
    data = make_weather()
    data["spare"] = xr.concat([data["t2m"]] * 3, dim="number")
    assert list(to_contract(data, requested=["msl"]).data_vars) == ["msl"]


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "julian", "all_leap"])
def test_dates_of_other_calendars_stay_as_they_are(make_weather: Make, calendar: str) -> None:
    data = make_weather().convert_calendar(calendar, align_on="date")
    assert to_contract(data)["time"].dt.calendar == calendar
    assert to_contract(data)["time"].values.tolist() == data["time"].values.tolist()


def test_cftime_of_the_standard_calendar_becomes_datetime64(make_weather: Make) -> None:
    data = make_weather()
    data["time"] = data["time"].convert_calendar("standard", use_cftime=True)["time"]
    assert data["time"].dtype == object
    assert to_contract(data)["time"].dtype.kind == "M"


def test_values_in_the_layout_of_the_contract_are_not_copied() -> None:
    axes = {
        "time": pd.date_range("2001-01-01", periods=3),
        "latitude": [0.0, 1.0],
        "longitude": [0.0, 1.0, 2.0],
    }
    attrs = {"units": "K", "comment": "the user's"}
    data = xr.Dataset({"sst": (DIMS, np.ones((3, 2, 3), np.float32), attrs)}, axes)
    before, fields = data.copy(deep=True), to_contract(data)
    assert np.shares_memory(fields["sst"].values, data["sst"].values)
    assert "comment" not in fields["sst"].attrs and data.identical(before)


def test_long_names_are_shortened_unless_two_variables_would_have_one_name() -> None:
    assert short("2m_temperature") == "t2m" and short("slp") == "slp"
    assert names_in_file(["geopotential", "slp"]) == {"geopotential": "z", "slp": "slp"}
    both = ["2m_temperature", "t2m", "geopotential"]
    assert names_in_file(both) == {"2m_temperature": "2m_temperature", "t2m": "t2m", "geopotential": "z"}
