"""Tables of stations as matrices: steps, means within them, units, longitudes, and grids that cover the stations."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.gauges import Gauges, in_one_range
from fieldcast.inference.stations.gridding import covering_grid, grid_like

WHERE = "'gauges.csv'"


def table(times: pd.DatetimeIndex, places: int = 3, **columns: object) -> pd.DataFrame:
    """Readings of t at some places, 100 times the number of the place plus that of the time."""
    parts = [
        {
            "time": time,
            "lat": 10.0 + place,
            "lon": 5.0 + place,
            "variable": "t",
            "value": 100.0 * place + number,
        }
        for place in range(places)
        for number, time in enumerate(times)
    ]
    return pd.DataFrame(parts).assign(**columns)


def test_readings_of_a_step_are_averaged_and_empty_steps_left_out() -> None:
    times = pd.DatetimeIndex(["2001-01-01 06:00", "2001-01-02 06:00", "2001-01-02 09:00", "2001-01-05 06:00"])
    gauges = Gauges.read(table(times), 24.0, WHERE)
    record, readings = gauges.of("t")
    np.testing.assert_allclose(record.x, np.array([0.0, 1.5, 3.0])[:, None] + 100 * np.arange(3))
    assert gauges.times.astype(str).tolist() == [f"2001-01-0{day}T06:00:00" for day in (1, 2, 5)]
    assert gauges.number.tolist() == [0, 1, 4] and record.segment.tolist() == [0, 0, 1]
    np.testing.assert_allclose(readings["value"], record.x.ravel())
    assert not record.seasonal


def test_the_step_is_the_most_frequent_one_of_a_station() -> None:
    """Stations that read at other minutes have one step all the same."""
    hours = pd.date_range("2001-01-01", periods=30, freq="3h")
    late = table(hours + pd.Timedelta(minutes=7)).assign(lat=0.0)
    gauges = Gauges.read(pd.concat([table(hours), late]), None, WHERE)
    assert gauges.step.hours == 3 and len(gauges.times) == 30 and len(gauges.locations) == 6
    months = Gauges.read(table(pd.date_range("2001-01-01", periods=30, freq="MS")), None, WHERE)
    assert months.step.months == 1 and months.number.tolist() == list(range(30))
    assert months.of("t")[0].seasonal


def test_units_are_those_of_most_readings() -> None:
    readings = table(pd.date_range("2001-01-01", periods=4), units="K")
    celsius = readings[readings["lat"] == 10].assign(units="degC", value=lambda t: t["value"] - 273.15)
    gauges = Gauges.read(pd.concat([readings[readings["lat"] > 10], celsius]), None, WHERE)
    assert gauges.units == {"t": "K"}
    np.testing.assert_allclose(gauges.of("t")[0].x[:, 0], np.arange(4.0))
    with pytest.raises(InputError, match=r"is in 'kg', which cannot be converted to 'K', the unit of most"):
        Gauges.read(pd.concat([readings, celsius.assign(units="kg", lat=0.0)]), None, WHERE)


def test_a_table_without_units_is_told_where_to_write_them(caplog: pytest.LogCaptureFixture) -> None:
    """A heading with the unit is what the sentence asks for."""
    readings = table(pd.date_range("2001-01-01", periods=4))
    assert Gauges.read(readings, None, WHERE).units == {"t": "1"}
    assert (
        "names no units, so the result has the unit 1: write them into the headings, as in `t2m [degC]`"
        in caplog.text
    )
    caplog.clear()
    wide = readings.drop(columns="variable").rename(columns={"value": "t2m [degC]"})
    assert Gauges.read(wide, None, WHERE).units == {"t2m": "degC"} and "names no units" not in caplog.text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([359.0, 1.0, 3.0], [-1.0, 1.0, 3.0]),
        ([-179.0, 179.0], [-179.0, -181.0]),
        ([10.0, 100.0], [10.0, 100.0]),
        ([-2.7 + 0.1 / 3, 3.9, -2.7 + 0.1 / 3 + 1e-9], [-2.7 + 0.1 / 3, 3.9, -2.7 + 0.1 / 3 + 1e-9]),
        ([-170.0, -100.0, -20.0, 50.0, 120.0], [-170.0, -100.0, -20.0, 50.0, 120.0]),
        ([10.0, 90.0, 170.0, 250.0, 330.0], [10.0, 90.0, 170.0, 250.0, 330.0]),
    ],
)
def test_a_network_has_no_jump_in_longitude(given: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(in_one_range(np.array(given)), expected)


def test_a_grid_covers_the_stations() -> None:
    places = pd.DataFrame({"latitude": [89.9, 47.1], "longitude": [5.0, 7.3]})
    grid = covering_grid(places, 0.5)
    np.testing.assert_allclose(grid["latitude"][[0, -1]], [47.0, 90.0])
    np.testing.assert_allclose(grid["longitude"], np.arange(5.0, 7.6, 0.5))
    around = covering_grid(pd.DataFrame({"latitude": [0.0, 1.0], "longitude": [0.5, 359.0]}), 5.0)
    np.testing.assert_allclose(around["longitude"], np.arange(0.0, 360.0, 5.0))
    single = covering_grid(pd.DataFrame({"latitude": [2.0], "longitude": [3.0]}), 1.0)
    assert all(len(axis) == 2 for axis in single.values())


def test_a_grid_is_taken_from_a_data_set() -> None:
    like = xr.Dataset({"t": (("lat", "lon"), np.zeros((3, 4)))}, {"lat": [3.0, 2, 1], "lon": [1.0, 2, 3, 4]})
    like["lat"].attrs["units"], like["lon"].attrs["units"] = "degrees_north", "degrees_east"
    np.testing.assert_allclose(grid_like(like, "like")["latitude"], [3, 2, 1])
    radians = like.assign_coords(
        {axis: np.deg2rad(like[axis]).assign_attrs(units="radians") for axis in like.coords}
    )
    for axis, degrees in grid_like(radians, "like").items():
        np.testing.assert_allclose(degrees, grid_like(like, "like")[axis])
    with pytest.raises(InputError, match=r"latitude 'lat' of like is in 'km'"):
        grid_like(like.assign_coords(lat=like["lat"].assign_attrs(units="km", axis="Y")), "like")
    with pytest.raises(InputError, match="needs at least two values along one axis"):
        grid_like(like.isel(lat=[0]), "like")
    with pytest.raises(InputError, match="has no latitude and no longitude"):
        grid_like(xr.Dataset({"t": ("x", [1.0])}), "like")


@pytest.mark.parametrize(
    ("changed", "hours", "message"),
    [
        (lambda t: t[t["lat"] == 10], None, "readings of 't' at 1 station: a field in space and time needs"),
        (lambda t: t[t["time"] == "2001-01-01"], None, "has readings at 1 time"),
        (lambda t: t[t["time"] == "2001-01-01"], 24.0, "readings of 't' at 1 time: a field"),
        (lambda t: t, 0.0, "the step is 0 hours: give a positive number"),
    ],
)
def test_tables_that_say_too_little_are_refused(changed, hours, message) -> None:
    with pytest.raises(InputError, match=message):
        Gauges.read(changed(table(pd.date_range("2001-01-01", periods=4))), hours, WHERE)
