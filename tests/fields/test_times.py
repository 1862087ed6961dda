"""Dates of files that give them as numbers, texts, bounds, steps of forecasts or attributes of the file."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.ingest import ingest_source
from fieldcast.fields.opening import read_file
from fieldcast.fields.options import Source
from fieldcast.fields.sources import open_layout, open_source
from fieldcast.fields.times import as_record, months_after

Make = Callable[..., xr.Dataset]
Write = Callable[..., str]
DAYS = pd.date_range("2001-01-01", periods=40)
MONTHS = pd.date_range("1990-01-01", periods=40, freq="MS")
HOURS = pd.date_range("2001-01-01", periods=40, freq="6h")


def digits(dates: pd.DatetimeIndex, form: str) -> np.ndarray:
    return np.array([int(date.strftime(form)) for date in dates])


# values and attributes of a time axis, and the dates that they mean
AXES: dict[str, tuple[Any, dict[str, Any], pd.DatetimeIndex]] = {
    "YYYYMMDD": (digits(DAYS, "%Y%m%d"), {}, DAYS),
    "YYYYMMDD as floats": (digits(DAYS, "%Y%m%d").astype(float), {"units": "yyyymmdd"}, DAYS),
    "YYYYMM": (digits(MONTHS, "%Y%m"), {}, MONTHS),
    "YYYYMMDDHH": (digits(HOURS, "%Y%m%d%H"), {}, HOURS),
    "absolute time of CDO": (
        digits(HOURS, "%Y%m%d") + HOURS.hour.to_numpy() / 24,
        {"units": "day as %Y%m%d.%f", "calendar": "proleptic_gregorian"},
        HOURS,
    ),
    "Julian day numbers": (DAYS.to_julian_date().to_numpy(), {"units": "day", "calendar": "julian"}, DAYS),
    "Julian day numbers without units": (HOURS.to_julian_date().to_numpy(), {}, HOURS),
    "MATLAB": (
        (DAYS - pd.Timestamp(0)).days.to_numpy() + 719529.0,
        {"units": "days", "comment": "datenum"},
        DAYS,
    ),
    "texts": (DAYS.strftime("%Y-%m-%d").to_numpy().astype("S10"), {}, DAYS),
    "texts of WRF": (HOURS.strftime("%Y-%m-%d_%H:%M:%S").to_numpy().astype("S19"), {}, HOURS),
    "months since": (
        np.arange(40) + 132,
        {"units": "months since 1979-01-01", "calendar": "standard"},
        MONTHS,
    ),
    "months since, 360": (
        np.arange(40) + 360,
        {"units": "months since 1960-01-01", "calendar": "360"},
        MONTHS,
    ),
    "years since": (
        np.arange(40),
        {"units": "years since 1990-07-01"},
        pd.date_range("1990-07-01", periods=40, freq=pd.DateOffset(years=1)),
    ),
    "months since, noleap": (
        np.arange(40) + 360,
        {"units": "months since 1960-1-1 00:00:00", "calendar": "noleap"},
        MONTHS,
    ),
    "modified Julian day numbers": (
        DAYS.to_julian_date().to_numpy() - 2400000.5,
        {"units": "days", "long_name": "Modified Julian Date"},
        DAYS,
    ),
    "YYYYDDD": (digits(DAYS, "%Y%j"), {}, DAYS),
    "days of 360": (
        np.arange(20),
        {"units": "days since 2001-01-01", "calendar": "360"},
        pd.DatetimeIndex(DAYS[:20]),
    ),
}


@pytest.mark.parametrize("kind", AXES)
@pytest.mark.parametrize("name", ["time", "date"])
def test_numbers_and_texts_are_read_as_dates(make_weather: Make, write: Write, kind: str, name: str) -> None:
    values, attrs, dates = AXES[kind]
    data = make_weather(times=len(dates))
    stored = data.drop_vars("time").rename(time=name).assign_coords({name: (name, values, attrs)})
    path = write(stored)
    source = Source(path=path)
    opened = open_source(source).compute()
    assert [str(date)[:19] for date in opened["time"].values] == list(
        dates.strftime("%Y-%m-%dT%H:%M:%S")
    ) or ([date.isoformat() for date in opened["time"].values] == list(dates.strftime("%Y-%m-%dT%H:%M:%S")))
    np.testing.assert_array_equal(opened["t2m"], data["t2m"])
    assert open_layout(source)[name].size == len(dates)
    read = read_file(path, "fill.observations")
    np.testing.assert_array_equal(read[name].values, opened["time"].values)
    np.testing.assert_array_equal(as_record(stored)[name].values, opened["time"].values)


def test_a_fraction_of_a_month_is_one_of_its_length() -> None:
    middle = months_after("2000-01-01", np.array([0.5, 1.5, np.nan]))
    assert list(middle.astype(str)[:2]) == ["2000-01-16T12:00:00.000000000", "2000-02-15T12:00:00.000000000"]
    assert np.isnat(middle[2])
    later = months_after("1960-01-15 06:00", np.array([1.0, 481.5]), "noleap")
    assert [date.isoformat() for date in later] == ["1960-02-15T06:00:00", "2000-03-01T06:00:00"]
    assert months_after("0000-01-01", 12 * np.array([2001.5])) == np.datetime64("2001-07-01")


def test_times_that_were_not_decoded(make_weather: Make, write: Write) -> None:
    """A data set opened with `decode_times=False`, as xarray advises where it knows no months."""
    data = make_weather(times=40, freq="MS")
    bounds = np.stack([data["time"], data["time"] + np.timedelta64(28, "D")], axis=1)
    data = data.assign(time_bnds=(("time", "bnds"), bounds))
    data["time"].attrs["bounds"] = "time_bnds"
    data["time"].encoding = data["time_bnds"].encoding = {"units": "hours since 1900-01-01"}
    path = write(data)
    raw = xr.open_dataset(path, decode_times=False)
    assert raw["time"].dtype.kind == "i"
    read = as_record(raw)
    np.testing.assert_array_equal(read["time"].values, data["time"].values)
    np.testing.assert_array_equal(read["time_bnds"].values, bounds)
    raw["time"].attrs["units"] = "fortnights since 1900-01-01"
    with pytest.raises(InputError, match=r"cannot be decoded \(fortnights since 1900-01-01\)"):
        as_record(raw)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            730000.0 + np.arange(40),
            r"MATLAB's day numbers do.*pandas.to_datetime\(dataset\['time'\] - 719529",
        ),
        (1990 + np.arange(40) / 12, "from 1990 to 1993.25, as years do: give dates"),
        (np.arange(40), "time axis of .* does not hold dates"),
        (20010132 + np.arange(40), "time axis of .* does not hold dates"),
    ],
)
def test_other_numbers_are_refused(
    make_weather: Make, write: Write, values: np.ndarray, message: str
) -> None:
    data = make_weather(times=40).assign_coords(time=values)
    with pytest.raises(InputError, match=message):
        open_source(Source(path=write(data)))


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_times_at_the_end_of_their_bounds(
    make_weather: Make, write: Write, calendar: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = make_weather(times=40, freq="MS", calendar=calendar)
    time = xr.date_range(
        "2001-01-01", periods=41, freq="MS", calendar=calendar, use_cftime=calendar == "noleap"
    )
    bounds = ("time", "bnds"), np.stack([time[:-1], time[1:]], axis=1)
    ends = data.assign_coords(time=("time", time[1:], {"bounds": "time_bnds"})).assign(time_bnds=bounds)
    path = write(ends)
    fields, _ = ingest_source(Source(path=path))
    assert list(fields["time"].values) == list(data["time"].values) and fields.attrs["step_months"] == 1
    assert "stand at the end of their bounds ('time_bnds'), such as 2001-02-01" in caplog.text
    caplog.clear()
    for times in (time[:-1], time[:-1] + pd.Timedelta(days=14)):  # at the beginning, or inside
        stays = data.assign_coords(time=("time", times, {"bounds": "time_bnds"})).assign(time_bnds=bounds)
        assert list(open_source(Source(path=write(stays)))["time"].values) == list(times) and not caplog.text


@pytest.mark.parametrize("valid", [True, False])
def test_steps_of_forecasts_become_valid_times(make_weather: Make, write: Write, valid: bool) -> None:
    data = make_weather(times=48, freq="6h")
    starts = data["time"].values[::4]
    hours = np.array([0, 6, 12, 18])
    by_step = xr.Dataset(
        {
            name: (("time", "step", "latitude", "longitude"), array.values.reshape(12, 4, 5, 6), array.attrs)
            for name, array in data.items()
        },
        {"time": starts, "step": ("step", hours, {"units": "hours"}), **data.drop_vars("time").coords},
    )
    if valid:
        dates = starts[:, None] + hours.astype("m8[h]")
        by_step = by_step.assign_coords(valid_time=(("time", "step"), dates))
    path = write(by_step)
    joined = open_source(Source(path=path)).compute()
    xr.testing.assert_equal(joined, data)
    xr.testing.assert_equal(read_file(path, "fill.observations")[["t2m", "msl"]], data)
    overlapping = by_step.drop_vars("valid_time", errors="ignore").assign_coords(
        step=("step", hours * 4, {"units": "h"})
    )
    with pytest.raises(
        InputError, match=r"4 steps \('step'\), and 't2m' has several values at .*isel\(step=slice\(1\)\)"
    ):
        open_source(Source(path=write(overlapping, "overlapping.nc")))


@pytest.mark.parametrize("repeated", ["missing", "equal"])
def test_steps_whose_valid_times_coincide(
    make_weather: Make, write: Write, repeated: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Steps 0 and 24 of ERA5's accumulations: what is missing, or the same, at one of them is no contradiction."""
    data = make_weather(times=49, freq="6h")[["t2m"]]
    steps = [data["t2m"].values[i : i + 45 : 4] for i in range(5)]
    if repeated == "missing":
        steps[0] = np.full_like(steps[0], np.nan)
    by_step = xr.Dataset(
        {"t2m": (("time", "step", "latitude", "longitude"), np.stack(steps, 1), data["t2m"].attrs)},
        {
            "time": data["time"].values[:48:4],
            "step": ("step", 6 * np.arange(5), {"units": "hours"}),
            "latitude": data["latitude"],
            "longitude": data["longitude"],
        },
    )
    joined = open_source(Source(path=write(by_step), missing="train")).compute()
    expected = data["t2m"].where((data["time"] != data["time"][0]) | (repeated == "equal"))
    np.testing.assert_array_equal(joined["t2m"], expected)
    assert "5 steps from 12 initial times are joined to 49 times" in caplog.text


COVERAGE = {
    "days": ("2001-01-{:02d}T00:40:01Z", "2001-01-{:02d}T23:59:59Z", 0, "2001-01-01"),
    "days until the next": ("2001-01-{:02d}T00:40:01.000Z", "2001-01-{:02d}T02:10:00.000Z", 1, "2001-01-01"),
    "compact": ("200101{:02d}T000000Z", "200101{:02d}T235959Z", 0, "2001-01-01"),
    "with a dimension": ("2001-01-{:02d}T00:00:00Z", "2001-01-{:02d}T00:00:00Z", 1, "2001-01-01"),
    "hours": ("2001-01-{:02d} 06:00:00", "2001-01-{:02d} 07:00:00", 0, "2001-01-01T06"),
}


@pytest.mark.parametrize("kind", COVERAGE)
def test_one_field_a_file(make_weather: Make, write: Write, kind: str) -> None:
    start, end, later, first = COVERAGE[kind]
    data = make_weather(times=30)
    for i in range(30):
        attrs = {"time_coverage_start": start.format(i + 1), "time_coverage_end": end.format(i + 1 + later)}
        day = data.isel(time=i, drop=True).assign_attrs(attrs)
        path = write(day.expand_dims("time") if kind == "with a dimension" else day, f"l3m_{i:02d}.nc")
    fields, _ = ingest_source(Source(path=path.replace("l3m_29", "l3m_*")))
    np.testing.assert_array_equal(fields["t2m"], data["t2m"])
    expected = np.datetime64(first, "ns") + np.arange(30).astype("m8[D]")
    np.testing.assert_array_equal(fields["time"].values, expected)


def test_months_in_one_file_each(make_weather: Make, write: Write) -> None:
    data = make_weather(times=30, freq="MS")
    for i, month in enumerate(data["time"].to_index()):
        attrs = {"time_coverage_start": f"{month:%Y-%m-%d}T00:25:00Z"}
        attrs["time_coverage_end"] = f"{month + pd.offsets.MonthBegin():%Y-%m-%d}T02:15:00Z"
        path = write(data.isel(time=i, drop=True).assign_attrs(attrs), f"m_{i:02d}.nc")
    fields, _ = ingest_source(Source(path=path.replace("m_29", "m_*")))
    np.testing.assert_array_equal(fields["time"].values, data["time"].values)


def test_time_differences_are_left_out(
    make_weather: Make, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    from fieldcast.fields.ingest import ingest

    data = make_weather(times=40)
    lag = np.full(data["t2m"].shape, np.timedelta64(3600, "s")).astype("m8[ns]")
    fields, _ = ingest(data.assign(lag=(data["t2m"].dims, lag)), "it")
    assert set(fields) == {"t2m", "msl"}
    assert "Variable 'lag' was left out: it holds time differences" in caplog.text
    caplog.clear()
    path = write(data.assign(lag=(data["t2m"].dims, lag), dry=(data["t2m"] % 7).assign_attrs(units="days")))
    fields, _ = ingest_source(Source(path=path))
    assert set(fields) == {"t2m", "msl", "dry"}  # a duration is a quantity
    assert "Variable 'lag' was left out: it holds time differences" in caplog.text
