"""The closed-form damping of a harmonic, uneven coverage without bias, the mean of short records."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from threadpoolctl import threadpool_limits

from fieldcast import calendars
from fieldcast.encoding.anomalies import static_fields
from fieldcast.fields import climatology

Make = Callable[..., xr.Dataset]


def harmonic(fields: xr.Dataset, k: int = 1) -> xr.Dataset:
    """5 cos(2π k day / 365) in every cell."""
    phase = 2 * np.pi * k * calendars.day_of_year(fields["time"]) / 365
    wave = xr.DataArray(5 * np.cos(phase), dims="time")
    return fields.assign(t2m=(fields["t2m"] * 0 + wave).astype(np.float32))[["t2m"]]


def damping(k: int, half: int = 30) -> float:
    """Fejér's kernel: the triangle's answer to a harmonic."""
    theta = 2 * np.pi * k / 365
    return float((np.sin(half * theta / 2) / (half * np.sin(theta / 2))) ** 2)


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
@pytest.mark.parametrize("k", [1, 3])
def test_a_harmonic_is_damped_as_the_closed_form_says(make_weather: Make, calendar: str, k: int) -> None:
    fields = harmonic(make_weather(times=4 * 365 + 1, calendar=calendar), k)
    fitted = climatology.fit(fields)
    exact = damping(k) * 5 * np.cos(2 * np.pi * k * np.arange(1, 366) / 365)
    assert fitted.attrs["kind"] == "day of year"
    assert np.allclose(fitted["t2m"][:, 2, 3], exact, atol=2e-5)


def test_days_that_more_years_cover_do_not_weigh_more(make_weather: Make) -> None:
    fields = harmonic(make_weather(times=5 * 365, calendar="noleap"))
    uneven = fields.isel(time=np.r_[0:500, 730 : 5 * 365])  # a year and a bit is missing
    assert np.allclose(climatology.fit(uneven)["t2m"], climatology.fit(fields)["t2m"], atol=1e-5)


def test_the_window_is_a_triangle_on_the_circle(make_weather: Make) -> None:
    fields = make_weather(times=730, calendar="noleap")
    pulse = np.zeros(730)
    pulse[[0, 365]] = 30.0  # 1 January
    fields = fields.assign(t2m=fields["t2m"] * 0 + xr.DataArray(pulse, dims="time"))
    fitted = climatology.fit(fields)["t2m"][:, 0, 0].values
    apart = np.minimum(np.arange(365), 365 - np.arange(365))
    assert np.allclose(fitted, np.clip(1 - apart / 30, 0, None), atol=1e-6)


@pytest.mark.parametrize(("calendar", "days"), [("360_day", 720), ("noleap", 730), ("all_leap", 732)])
def test_two_years_are_years_of_the_calendar(make_weather: Make, calendar: str, days: int) -> None:
    times = xr.date_range("2001-01-01", periods=days, calendar=calendar, use_cftime=True)
    fields = make_weather(times=days).assign_coords(time=times)
    assert climatology.fit(fields).attrs["kind"] == "day of year"
    assert climatology.fit(fields.isel(time=slice(days - 1))).attrs["kind"] == "training mean"


def test_under_two_years_it_is_the_training_mean(make_weather: Make) -> None:
    fields = make_weather(times=729)
    fitted = climatology.fit(fields)
    assert fitted.attrs["kind"] == "training mean" and fitted.sizes["dayofyear"] == 365
    assert np.allclose(fitted["msl"], fields["msl"].astype(np.float64).mean("time"), rtol=1e-7)
    assert climatology.fit(make_weather(times=730)).attrs["kind"] == "day of year"


def test_a_seasonal_record_has_a_value_on_every_day(make_weather: Make) -> None:
    fields = make_weather(times=12 * 365, calendar="noleap")
    winter = fields.isel(time=calendars.day_of_year(fields["time"]) <= 90)
    fitted = climatology.fit(winter)
    assert fitted.attrs["kind"] == "day of year"
    assert np.allclose(fitted["t2m"][200], winter["t2m"].mean("time"), atol=0.01)


def test_anomaly_and_its_day(make_weather: Make) -> None:
    fields = make_weather(times=3 * 365)
    normal = climatology.fit(fields)
    feb29 = climatology.at(normal, np.array(["2004-02-28", "2004-02-29"], dtype="M8[ns]"))
    assert np.array_equal(feb29["t2m"][0], feb29["t2m"][1])
    anomaly = climatology.anomaly(fields, normal)
    assert anomaly["t2m"].dims == ("time", "latitude", "longitude") and "dayofyear" not in anomaly.coords
    assert np.allclose(anomaly["t2m"][40], fields["t2m"][40] - normal["t2m"][40], atol=1e-4)
    lazy = climatology.anomaly(fields.chunk(time=100), normal)
    assert lazy["t2m"].chunks is not None
    assert np.array_equal(lazy["t2m"].compute(), anomaly["t2m"])
    assert anomaly["t2m"].attrs["units"] == "K"


def test_blocks_do_not_matter_and_missing_cells_stay_missing(make_weather: Make) -> None:
    fields = make_weather(times=800)
    fields["t2m"][:, 1, 1] = np.nan
    fitted, lazy = climatology.fit(fields), climatology.fit(fields.chunk(time=70))
    assert np.allclose(fitted["t2m"], lazy["t2m"], equal_nan=True, atol=1e-4)
    assert int(fitted["t2m"].isnull().sum()) == 365


def test_the_statistics_do_not_depend_on_the_number_of_threads() -> None:
    values = np.random.default_rng(0).normal(280, 10, size=(800, 32, 64)).astype(np.float32)
    place = {"latitude": np.linspace(-87, 87, 32), "longitude": np.arange(64) * 5.625}
    time = pd.date_range("2001-01-01", periods=800)
    fields = xr.Dataset({"t": (("time", *place), values, {"units": "K"})}, {"time": time, **place})
    results = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            fitted = climatology.fit(fields)
            results.append((fitted["t"].values, static_fields(fields, fitted)))
    for single, several in zip(*results, strict=True):
        assert np.array_equal(single, several)


def test_the_cycle_of_days_is_shrunk_where_few_values_exist(make_weather: Make) -> None:
    """Twenty values of a cell in four years: a mean of those around a date has a few of them."""
    fields = harmonic(make_weather(times=4 * 365, calendar="noleap"))
    noise = np.random.default_rng(0).standard_normal(fields["t2m"].shape)
    seldom = np.random.default_rng(1).random(fields["t2m"].shape) < 20 / fields.sizes["time"]
    few = (fields + noise).where(seldom).assign_attrs(missing="train")
    exact = 5 * np.cos(2 * np.pi * np.arange(1, 366) / 365)[:, None, None]
    errors = []
    for shrink in (True, False):
        fitted = climatology.fit(few, shrink=shrink)
        assert fitted.attrs["kind"] == ("harmonics" if shrink else "day of year")
        errors.append(float(np.sqrt(np.mean((fitted["t2m"].values - exact) ** 2))))
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize(("times", "share"), [(9, 0.6), (80, 1.0)])
def test_the_mean_of_a_short_record_is_averaged_over_neighbours(
    make_weather: Make, times: int, share: float
) -> None:
    """A smooth mean under levels of days, of which each cell has its own: its noise falls; long records keep it."""
    fields = make_weather(times=times)[["t2m"]]
    rng, t2m = np.random.default_rng(0), fields["t2m"]
    mean = 0.1 * np.cos(np.deg2rad(t2m["latitude"].astype(float)))
    level = xr.DataArray(rng.normal(size=times), dims="time")
    values = (0 * t2m + mean + level).where(rng.random(t2m.shape) < 0.5)
    gappy = fields.assign(t2m=values).assign_attrs(missing="train")
    error = []
    for shrink in (False, True):
        fitted = climatology.fit(gappy, shrink=shrink)["t2m"].isel(dayofyear=0)
        error.append(float(((fitted - mean - level.mean()) ** 2).mean()) ** 0.5)
    assert error[1] <= share * error[0] and (share < 1 or error[1] == error[0])
