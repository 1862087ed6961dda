"""Files that no run can use are refused at ingestion, in one sentence that names the file and the remedy."""

import math
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from fsspec.registry import _registry
from pydantic import ValidationError

from fieldcast.errors import InputError
from fieldcast.fields.conventions import RESERVED, SUFFIXES
from fieldcast.fields.ingest import ingest, ingest_source
from fieldcast.fields.options import Ingestion
from fieldcast.fields.paths import files_of

Make = Callable[..., xr.Dataset]
Spoil = Callable[[xr.Dataset], xr.Dataset]


@pytest.fixture
def data(make_weather: Make) -> xr.Dataset:
    return make_weather()


@pytest.fixture(autouse=True)
def at_most_five_seconds() -> Iterator[None]:
    """A file that is waited for without end fails the test instead of hanging it."""

    def stop(*_: Any) -> None:
        raise AssertionError("still waiting after five seconds")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


def refusal(path: Any, **options: Any) -> str:
    """The sentence with which ingestion refuses a source."""
    with pytest.raises(InputError) as caught:
        ingest_source(Ingestion(source="file", path=path, **options).file())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def with_coordinate(name: str, value: float) -> Spoil:
    def spoil(d: xr.Dataset) -> xr.Dataset:
        values = d[name].values.copy()
        values[2] = value
        return d.assign_coords({name: (name, values, d[name].attrs)})

    return spoil


def with_times(values: Any, units: str = "days since 2001-01-01", calendar: str = "standard") -> Spoil:
    attrs = {"units": units, "calendar": calendar}
    return lambda d: d.drop_vars("time").assign_coords(time=("time", np.asarray(values), attrs))


def from_year(start: str) -> Spoil:
    return lambda d: d.assign_coords(
        time=xr.date_range(start, periods=60, calendar="standard", use_cftime=True)
    )


def where_one_cell(d: xr.Dataset) -> xr.DataArray:
    return (d["latitude"] == 0) & (d["longitude"] == 60)


def t2m(change: Callable[[xr.DataArray], xr.DataArray]) -> Spoil:
    return lambda d: d.assign(t2m=change(d["t2m"].astype("f8")).assign_attrs(units="K"))


CONTENTS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "NaN among the latitudes": (
        with_coordinate("latitude", math.nan),
        ("the latitude 'latitude' of", "NaN or infinity (1 value of 5)", "correct it"),
    ),
    "infinity among the latitudes": (with_coordinate("latitude", math.inf), ("the latitude 'latitude' of",)),
    "NaN among the longitudes": (with_coordinate("longitude", math.nan), ("the longitude 'longitude' of",)),
    "infinity among the longitudes": (with_coordinate("longitude", math.inf), ("the longitude 'longitude' of",)),
    "before 1678": (from_year("1500-01-01"), ("1500-02-29", "1678 to 2261", "'noleap'")),
    "after 2261": (from_year("2300-01-01"), ("2300-01-01", "1678 to 2261", "ingestion.period")),
    "across the last year": (from_year("2261-12-01"), ("2261-12-01T00:00:00 to 2262-01-29", "1678 to 2261")),
    "year 275791": (with_times(np.arange(60.0) + 1e8), ("275791", "1678 to 2261")),
    "huge times": (
        with_times(np.arange(60.0) + 1e15),
        ("'time' runs from 1e+15", "'days since 2001-01-01'", "'standard'"),
    ),
    "one huge time": (
        with_times([*range(5), 1e10, *range(6, 60)]),
        ("time 6 of", "is 1e+10 'days since 2001-01-01': correct it"),
    ),
    "one infinite time": (with_times([*range(5), math.inf, *range(6, 60)]), ("time 6 of", "is infinite: correct it")),
    "latitudes as text": (
        lambda d: d.assign_coords(latitude=("latitude", d["latitude"].values.astype(str), d["latitude"].attrs)),
        ("the latitudes of", "are text: make them numbers"),
    ),
    "odd units of time": (
        with_times(np.arange(60.0), "fortnights since 2001-01-01"),
        ("'time' runs from 0 to 59 'fortnights since 2001-01-01'", "such as 'days since 2001-01-01'"),
    ),
    "an unknown calendar": (
        with_times(np.arange(60.0), calendar="lunar"),
        ("'time' of", "has the unknown calendar 'lunar'", "one of standard, ", ", noleap, ", ", 360_day"),
    ),
    "one cell exists": (
        lambda d: d.where(where_one_cell(d)),
        ("'t2m'", "changes in time in 1 of 30 cells", "at least 4", "larger region"),
    ),
    "one cell varies": (
        t2m(lambda v: v.where(where_one_cell(v.to_dataset(name="v")), 288.0)),
        ("'t2m'", "changes in time in 1 of 30 cells"),
    ),
    "values of 1e15": (t2m(lambda v: v * 1e13), ("'t2m'", "e+15", "convert it to larger units")),
    "values of 1e26": (t2m(lambda v: v * 1e24), ("'t2m'", "e+26", "convert it to larger units")),
    "values of 1e-24": (t2m(lambda v: v * 1e-26), ("'t2m'", "convert it to smaller units")),
    "too fine for single precision": (
        t2m(lambda v: (v - 288) * 0.01 + 1e9),
        ("'t2m'", "constant in single precision", "resolves 6e+01 at 1e+09", "subtract a constant"),
    ),
    "few levels of single precision": (
        t2m(lambda v: (v - 288) * 10 + 1e9),
        ("'t2m'", "single precision resolves", "subtract a constant"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", CONTENTS)
def test_contents(data: xr.Dataset, tmp_path: Path, family: str) -> None:
    spoil, phrases = CONTENTS[family]
    path = tmp_path / "weather.nc"
    spoil(data).to_netcdf(path)
    text = refusal(str(path))
    assert all(word in text for word in (str(path), *phrases)), text


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_names_that_results_use_themselves(data: xr.Dataset, tmp_path: Path, name: str) -> None:
    path = str(tmp_path / "weather.nc")
    data.rename_vars(t2m=name).to_netcdf(path)
    fields, quality = ingest_source(Ingestion(source="file", path=path).file())
    assert set(fields.data_vars) == {f"{name}_value", "msl"}
    np.testing.assert_array_equal(fields[f"{name}_value"], data["t2m"])
    assert quality["sentence"][0].startswith(f"Variable '{name}' is called '{name}_value'")
    selected = ingest_source(Ingestion(source="file", path=path, variables=[name]).file())[0]
    assert list(selected.data_vars) == [f"{name}_value"]


@pytest.mark.parametrize("part", SUFFIXES)
def test_names_that_results_give_to_a_statistic_of_another_variable(data: xr.Dataset, part: str) -> None:
    name = f"t2m{part}"
    fields, _ = ingest(data.rename_vars(msl=name), "'a.nc'")
    assert set(fields.data_vars) == {"t2m", f"{name}_value"}
    assert name in ingest(data.drop_vars("t2m").rename_vars(msl=name))[0]  # without the other


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("bool", lambda t2m: t2m > 288),
        ("complex numbers", lambda t2m: t2m + 1j),
        ("text", lambda t2m: t2m.astype(str)),
        ("objects", lambda t2m: t2m.astype(object)),
    ],
)
def test_values_that_are_no_numbers(data: xr.Dataset, kind: str, change: Any) -> None:
    with pytest.raises(InputError, match=f"^'t2m' of 'a.nc' holds {kind}, not plain numbers: convert it"):
        ingest(data[["t2m"]].map(change), "'a.nc'")


def test_a_file_of_truth_values(data: xr.Dataset, tmp_path: Path) -> None:
    path = str(tmp_path / "a.nc")
    (data[["t2m"]] > 288).to_netcdf(path)
    assert refusal(path) == f"'t2m' of '{path}' holds bool, not plain numbers: convert it"


def test_the_period_chosen_of_a_long_record_may_be_within_the_years(data: xr.Dataset, tmp_path: Path) -> None:
    path = str(tmp_path / "weather.nc")
    from_year("2261-12-01")(data).to_netcdf(path)
    fields, _ = ingest_source(Ingestion(source="file", path=path, period=("2261-12-01", "2261-12-31")).file())
    assert fields.sizes["time"] == 31 and fields["time"].dtype == "M8[ns]"


# --- files and stores


def pipe(d: xr.Dataset, folder: Path) -> str:
    os.mkfifo(folder / "pipe.nc")
    return str(folder / "pipe.nc")


def two_calendars(d: xr.Dataset, folder: Path) -> list[str]:
    noleap = xr.date_range("2001-03-02", periods=60, calendar="noleap", use_cftime=True)
    d.to_netcdf(folder / "a.nc")
    d.assign_coords(time=noleap).to_netcdf(folder / "b.nc")
    return [str(folder / "a.nc"), str(folder / "b.nc")]


def two_records(d: xr.Dataset, folder: Path) -> list[str]:
    d.to_netcdf(folder / "a.nc")
    from_year("2300-01-01")(d).to_netcdf(folder / "b.nc")
    return [str(folder / "a.nc"), str(folder / "b.nc")]


def without_units(d: xr.Dataset, folder: Path) -> list[str]:
    d.isel(time=slice(30)).to_netcdf(folder / "a.nc")
    d.isel(time=slice(30, None)).assign(t2m=d["t2m"][30:].drop_attrs()).to_netcdf(folder / "b.nc")
    return [str(folder / "a.nc"), str(folder / "b.nc")]


def store_without_time(form: int) -> Callable[[xr.Dataset, Path], str]:
    def write(d: xr.Dataset, folder: Path) -> str:
        d.to_zarr(folder / "a.zarr", zarr_format=form)
        chunk = folder / "a.zarr/time" / ("0" if form == 2 else "c")
        shutil.rmtree(chunk) if chunk.is_dir() else chunk.unlink()
        return str(folder / "a.zarr")

    return write


def groups(d: xr.Dataset, folder: Path) -> str:
    d.to_netcdf(folder / "a.nc", group="surface")
    d.to_netcdf(folder / "a.nc", group="upper/air", mode="a")
    return str(folder / "a.nc")


def groups_of_a_store(d: xr.Dataset, folder: Path) -> str:
    d.to_zarr(folder / "a.zarr", group="surface", zarr_format=2)
    return str(folder / "a.zarr")


def dangling(d: xr.Dataset, folder: Path) -> str:
    (folder / "dang.nc").symlink_to(folder / "gone.nc")
    return str(folder / "dang.nc")


def loop(d: xr.Dataset, folder: Path) -> str:
    (folder / "loop.nc").symlink_to(folder / "loop.nc")
    return str(folder / "loop.nc")


def with_coordinates(d: xr.Dataset, folder: Path) -> str:
    d.to_netcdf(folder / "a.nc")
    with netCDF4.Dataset(folder / "a.nc", "a") as opened:
        opened["t2m"].setncattr("coordinates", 5)
    return str(folder / "a.nc")


def packed_by(factor: Any) -> Callable[[xr.Dataset, Path], str]:
    def write(d: xr.Dataset, folder: Path) -> str:
        d["t2m"] = d["t2m"].astype("i2").assign_attrs(scale_factor=factor)
        d.to_netcdf(folder / "a.nc")
        return str(folder / "a.nc")

    return write


PLACES: dict[str, tuple[Callable[[xr.Dataset, Path], Any], tuple[str, ...]]] = {
    "a named pipe": (pipe, ("pipe.nc' is a pipe or device, not a file", "save the data to a file")),
    "a dangling link": (dangling, ("dang.nc' is a broken symbolic link: correct it",)),
    "a link to itself": (loop, ("loop.nc' is a broken symbolic link: correct it",)),
    "a text for a scale": (packed_by("abc"), ("scale_factor of 't2m' in", "a.nc' is the text 'abc': make it a num",)),
    "a number for coordinates": (with_coordinates, ("coordinates of 't2m' in", "a.nc' is 5: make it a text")),
    "two scales": (packed_by([1.0, 2.0]), ("scale_factor of 't2m' in", "a.nc' is [1.0, 2.0]: make it a number")),
    "two calendars": (two_calendars, ("b.nc' is 'noleap'", "a.nc'", "convert_calendar")),
    "one of two files beyond the years": (two_records, ("b.nc' (2300-01-01", "1678 to 2261")),
    "units in one of two files": (without_units, ("'t2m' is in 'K' in", "a.nc'", "has no units in", "b.nc'")),
    "a store without its time": (store_without_time(2), ("lacks 1 of the 1 chunks of variable 'time'", "again")),
    "a store of format 3 without its time": (store_without_time(3), ("chunks of variable 'time'", "again")),
    "groups": (groups, ("(surface, upper/air)", "group='surface'")),
    "groups of a store": (groups_of_a_store, ("in groups (surface)",)),
    "an unknown protocol": (lambda *_: "era5://2001.nc", ("has the unknown protocol 'era5'", "gs://")),
    "a colon": (lambda *_: "era5:2001.nc", ("'era5:2001.nc' does not exist", "ingestion.path")),
    "s3 without s3fs": (lambda *_: "s3://bucket/a.zarr", ("Install s3fs", "`pip install 'fieldcast[s3]'`")),
    "a name of 300 characters": (lambda *_: "x" * 300, ("does not exist", "ingestion.path")),
}  # fmt: skip


@pytest.mark.parametrize("family", PLACES)
def test_files_and_stores(
    data: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as where it is not installed
    monkeypatch.delitem(_registry, "s3", raising=False)  # which an earlier test may have filled
    make, phrases = PLACES[family]
    text = refusal(make(data, tmp_path))
    assert all(word in text for word in phrases), text


@pytest.mark.parametrize("name", ["a[1].nc", "era5:2001.nc", "a*b?.nc", "a, b${x}.nc"])
def test_names_that_look_like_globs_or_addresses(
    data: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    data.to_netcdf("plain.nc")
    os.rename("plain.nc", name)
    for path in (name, str(tmp_path / name), f"file://{tmp_path}/{name}"):
        fields, _ = ingest_source(Ingestion(source="file", path=path).file())
        assert fields.sizes["time"] == 60
        assert [os.path.basename(file) for file in files_of(path)] == [name]  # its age is part of the lineage


@pytest.mark.parametrize("period", [["1990"], ["1990", "1991", "1992"], "1990", 1990, []])
def test_a_period_is_two_dates(period: Any) -> None:
    with pytest.raises(ValidationError, match=r"is not a period: give its first and its last date"):
        Ingestion(source="file", path="a.nc", period=period)


@pytest.mark.parametrize("step", [math.nan, math.inf, 0.0, -24.0])
def test_a_step_is_a_positive_number(step: float) -> None:
    with pytest.raises(ValidationError, match=r"finite number|greater than 0"):
        Ingestion(source="file", path="a.nc", step_hours=step)
