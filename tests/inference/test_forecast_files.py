"""One and the same forecasts in many shapes come out the same."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.inference.forecasts.external import DIMS, hours, to_forecasts


def plain() -> xr.Dataset:
    """(lead, start, member, latitude, longitude): 3 leads, 4 starts, 2 members, 5 x 6 cells."""
    values = np.random.default_rng(0).normal(280, 5, (3, 4, 2, 5, 6)).astype(np.float32)
    coords = {
        "lead": [24.0, 48.0, 72.0],
        "start": xr.date_range("2003-01-01", periods=4, freq="5D"),
        "member": [0, 1],
        "latitude": ("latitude", np.linspace(-60, 60, 5), {"units": "degrees_north"}),
        "longitude": ("longitude", np.arange(0, 360, 60.0), {"units": "degrees_east"}),
    }
    return xr.Dataset({"t": (DIMS, values, {"units": "K"})}, coords)


def weatherbench(data: xr.Dataset) -> xr.Dataset:
    """Initial time `time`, lead `prediction_timedelta`, `number`."""
    data = data.assign_coords(lead=(data["lead"].values * 3600e9).astype("m8[ns]"))
    names = {
        "start": "time",
        "lead": "prediction_timedelta",
        "member": "number",
        "latitude": "lat",
        "longitude": "lon",
    }
    data = data.rename(names).transpose("time", "number", "prediction_timedelta", "lon", "lat")
    return data.assign_coords(valid_time=data["time"] + data["prediction_timedelta"])


def turned(data: xr.Dataset) -> xr.Dataset:
    return data.isel(latitude=slice(None, None, -1))


def in_radians(data: xr.Dataset) -> xr.Dataset:
    axes = ("latitude", "longitude")
    return data.assign_coords({axis: np.deg2rad(data[axis]).assign_attrs(units="radians") for axis in axes})


def by_standard_names(data: xr.Dataset) -> xr.Dataset:
    """CF: odd names with attributes; `time` is what is valid, on (run, ahead)."""
    data = data.rename(start="run", lead="ahead", member="draw")
    data["run"].attrs["standard_name"] = "forecast_reference_time"
    data["ahead"].attrs |= {"standard_name": "forecast_period", "units": "hours"}
    data["draw"].attrs["standard_name"] = "realization"
    ahead = xr.DataArray((data["ahead"].values * 3600e9).astype("m8[ns]"), dims="ahead")
    return data.assign_coords(time=data["run"] + ahead)


def dimensions_of_other_names(data: xr.Dataset) -> xr.Dataset:
    """Coordinates that are not their dimensions' names, a leftover level, members without numbers."""
    data = (
        data.drop_vars("member")
        .rename_dims(start="x", lead="y", member="number")
        .reset_index(["start", "lead"])
    )
    data = data.rename(start="init_time", lead="step")
    data["step"].attrs["units"] = "h"
    return data.expand_dims(level=[500])


def in_days(data: xr.Dataset) -> xr.Dataset:
    data = data.assign_coords(lead=data["lead"] / 24)
    data["lead"].attrs["units"] = "days"
    return data


def in_months(data: xr.Dataset) -> xr.Dataset:
    """Leads in months of the calendar, beside the hours of the first start."""
    data = data.assign_coords(lead=("lead", data["lead"].values / 730, {"units": "Months"}))
    attrs = {"standard_name": "forecast_period", "units": "hours"}
    return data.assign_coords(forecast_period=("lead", [31 * 24.0, 59 * 24.0, 90 * 24.0], attrs))


def short_names(data: xr.Dataset) -> xr.Dataset:
    extra = {"t": "temperature"}
    return data.rename(extra).assign(note=("start", np.arange(4)), words=("start", list("abcd")))


def same(data: xr.Dataset) -> xr.Dataset:
    return data


@pytest.mark.parametrize(
    "shape",
    [
        same,
        weatherbench,
        turned,
        by_standard_names,
        dimensions_of_other_names,
        in_days,
        in_months,
        short_names,
        in_radians,
    ],
    ids=lambda function: function.__name__,
)
def test_files_of_any_layout_are_read(shape: Callable[[xr.Dataset], xr.Dataset]) -> None:
    forecasts = to_forecasts(shape(plain()), "a test")
    assert forecasts["t"].attrs == {"units": "K"} and forecasts["t"].dims == DIMS
    xr.testing.assert_equal(forecasts, plain())


@pytest.mark.parametrize("alone", ["lead", "start", "member"])
def test_one_alone_needs_no_dimension(alone: str) -> None:
    forecasts = to_forecasts(plain().isel({alone: 1}), "a test")
    assert np.array_equal(forecasts["t"], plain().isel({alone: [1]})["t"])
    if alone != "member":
        assert np.array_equal(forecasts[alone], plain().isel({alone: [1]})[alone])


def test_without_members_there_is_one() -> None:
    data = plain().isel(member=0, drop=True)
    assert np.array_equal(to_forecasts(data, "a test")["t"], plain()["t"][:, :, :1])


def test_nothing_is_read(tmp_path) -> None:
    weatherbench(plain()).to_netcdf(tmp_path / "mine.nc")
    with xr.open_dataset(tmp_path / "mine.nc", decode_timedelta=False) as opened:
        forecasts = to_forecasts(opened, "mine.nc")
        assert not forecasts["t"].variable._in_memory
        xr.testing.assert_equal(forecasts.load(), plain())


@pytest.mark.parametrize(
    ("values", "units", "expected"),
    [
        (np.array([1, 36], "m8[h]"), None, [1, 36]),
        (np.array([86400000000000]), "nanoseconds", [24]),
        (np.array([6.0, 12.0]), None, [6, 12]),
        (np.array([90]), "minutes", [1.5]),
        (np.float32(0.25), "days", [6]),
    ],
)
def test_leads_are_hours(values: np.ndarray, units: str | None, expected: list[float]) -> None:
    lead = xr.DataArray(values, attrs={"units": units} if units else {})
    np.testing.assert_allclose(hours(lead, "a test"), expected)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data.drop_vars("lead").rename_dims(lead="x"), "no coordinate of mine.nc is the lead .* step"),
        (lambda data: data.rename(start="begin"), "no coordinate of mine.nc is the start of a forecast"),
        (lambda data: data.rename(latitude="y").drop_attrs(), "no coordinate of mine.nc is the latitude"),
        (lambda data: data.assign_coords(start=[1, 2, 3, 4]), "initial times of mine.nc .'start'. are not dates"),
        (lambda data: data.assign_coords(lead=("lead", [1, 2, 3], {"units": "weeks"})), "are in 'weeks'"),
        (lambda data: data.drop_vars("t"), "there is no variable on a grid in"),
        (lambda data: data.expand_dims(level=[500, 850]), "further dimension 'level' of size 2: select one"),
        (lambda data: data.rename_dims(latitude="y").drop_vars("latitude")
         .assign_coords(lat=(("y", "longitude"), np.ones((5, 6)))), "curvilinear"),
        (lambda data: data.assign_coords(longitude=("longitude", np.arange(6.0), {"units": "km"})), "in 'km', not"),
        (lambda data: data.assign(t=data["t"].assign_attrs(grid_mapping="crs"),
                                  crs=((), 0, {"grid_mapping_name": "lambert_conformal_conic"})), "on a lambert"),
    ],
)  # fmt: skip
def test_an_unusable_file_is_reported_in_one_sentence(
    spoil: Callable[[xr.Dataset], xr.Dataset], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        to_forecasts(spoil(plain()), "mine.nc")
    assert "\n" not in str(caught.value)


def test_a_variable_that_is_no_forecast_is_left_aside() -> None:
    """A variable without leads and initial times, such as surface height, is ignored."""
    data = plain()
    data["orography"] = data["t"].isel(lead=0, start=0, member=0, drop=True)
    data["analysis"] = data["t"].isel(lead=0, member=0, drop=True)
    xr.testing.assert_equal(to_forecasts(data, "a test"), plain())


def test_variables_of_different_numbers_of_members_are_reported_in_one_sentence() -> None:
    data = plain()
    data["mean"] = data["t"].mean("member")
    with pytest.raises(InputError, match=r"different numbers of members \(t 2, mean 1\)"):
        to_forecasts(data, "a test")


def test_a_variable_that_is_not_requested_is_no_reason_to_refuse() -> None:
    data = plain()
    data["mean"] = data["t"].mean("member")
    xr.testing.assert_equal(to_forecasts(data, "a test", ["t"]), plain())
    with pytest.raises(InputError, match="different numbers of members"):
        to_forecasts(data, "a test", ["t", "mean"])
