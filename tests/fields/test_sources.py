"""Files and stores as users have them: opened, chosen from, put together, and refused in one sentence."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from fieldcast.errors import InputError
from fieldcast.fields import opening, sources
from fieldcast.fields.options import Source
from fieldcast.fields.sources import open_source

Make = Callable[..., xr.Dataset]
Write = Callable[..., str]


def test_packed_integers_and_netcdf3(make_weather: Make, write: Write) -> None:
    data = make_weather(times=40)
    packing = {"msl": {"dtype": "int16", "scale_factor": 0.25, "add_offset": 1e5, "_FillValue": -32768}}
    packed = open_source(Source(path=write(data, "packed.nc", encoding=packing)))
    assert packed["msl"].dtype == np.float32 and packed["msl"].chunks is not None
    assert np.allclose(packed["msl"], data["msl"], atol=0.126)
    for form in ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"):
        classic = open_source(Source(path=write(data, f"{form}.nc", format=form, engine="netcdf4")))
        xr.testing.assert_equal(classic.compute(), data)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_store_without_consolidated_metadata_is_opened_without_a_warning(
    make_weather: Make, tmp_path: Path, zarr_format: int, recwarn: pytest.WarningsRecorder
) -> None:
    data = make_weather(times=40)
    data.to_zarr(tmp_path / "a.zarr", zarr_format=zarr_format, consolidated=False)
    recwarn.clear()
    xr.testing.assert_equal(open_source(Source(path=str(tmp_path / "a.zarr"))).compute(), data)
    assert not recwarn.list


def test_choice_of_variables_period_and_step(make_weather: Make, write: Write) -> None:
    path = write(make_weather(times=200, freq="6h"))
    fields = open_source(
        Source(path=path, variables=["msl"], period=("2001-01-03", "2001-02"), step_hours=24)
    )
    assert list(fields.data_vars) == ["msl"] and "aliases" not in fields["msl"].attrs
    assert Source(path=path, variables="msl+t2m").variables == ["msl", "t2m"]  # type: ignore[arg-type]
    assert str(fields["time"].values[0])[:13] == "2001-01-03T00" and fields.sizes["time"] == 48
    assert np.all(np.diff(fields["time"].values) == np.timedelta64(24, "h"))


def weatherbench(make_weather: Make, path: Path) -> str:
    """A store laid out like WeatherBench 2: (time, level, longitude, latitude), long names, Zarr format 2."""
    data = make_weather(
        times=400, freq="6h", latitude=np.arange(-87.1875, 90, 22.5), longitude=np.arange(0, 360, 45.0)
    )
    levels = xr.concat([data["msl"], 2 * data["msl"], 3 * data["msl"]], dim="level").assign_coords(
        level=[500, 700, 850]
    )
    store = xr.Dataset(
        {
            "geopotential": levels.assign_attrs(units="m**2 s**-2"),
            "2m_temperature": data["t2m"].assign_attrs(units="K"),
            "land_sea_mask": data["t2m"][0].drop_vars("time").assign_attrs(units="1"),
        }
    ).transpose("time", "level", "longitude", "latitude")
    store.chunk(time=100).to_zarr(path / "era5.zarr", zarr_format=2, consolidated=True)
    return str(path / "era5.zarr")


def test_a_store_laid_out_like_weatherbench(make_weather: Make, tmp_path: Path) -> None:
    path = weatherbench(make_weather, tmp_path)
    source = Source(path=path, variables=["z500", "2m_temperature", "land_sea_mask"], step_hours=24,
                    period=("2001-01", "2001-03"))  # fmt: skip
    fields = open_source(source)
    assert list(fields.data_vars) == ["z500", "t2m", "lsm"] and fields.sizes["time"] == 90
    assert (
        fields["z500"].dims == ("time", "latitude", "longitude")
        and fields["z500"].attrs["units"] == "m**2 s**-2"
    )
    with xr.open_zarr(path) as store:
        same = (
            store["geopotential"]
            .sel(level=500)
            .isel(time=slice(0, 360, 4))
            .transpose("time", "latitude", ...)
        )
        assert np.array_equal(fields["z500"], same)
    assert set(open_source(Source(path=path, levels=[850])).data_vars) == {"z850", "t2m", "lsm"}


def test_only_the_chosen_chunks_are_read(
    make_weather: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MIN_READ_BYTES", 1)
    path = weatherbench(make_weather, tmp_path)
    for chunk in (Path(path) / "geopotential").glob("[1-3].*"):
        chunk.write_bytes(b"not to be read")
    first = open_source(Source(path=path, variables=["z500"], period=("2001-01-01", "2001-01-20")))
    assert np.isfinite(first["z500"].values).all()
    with pytest.raises(RuntimeError):
        open_source(Source(path=path, variables=["z500"]))["z500"].compute()


def test_many_files_are_joined(make_weather: Make, write: Write, tmp_path: Path) -> None:
    data = make_weather(times=90)
    data["orography"] = data["t2m"][0].drop_vars("time").assign_attrs(units="m")
    for i in range(3):
        write(data[["t2m", "orography"]].isel(time=slice(30 * i, 30 * i + 30)), f"t2m_{i}.nc")
    write(data[["msl"]], "msl.nc")
    fields = open_source(Source(path=str(tmp_path / "*.nc")))
    xr.testing.assert_equal(fields.compute(), data)
    listed = open_source(Source(path=[str(tmp_path / "t2m_1.nc"), str(tmp_path / "t2m_2.nc")]))
    assert listed.sizes["time"] == 60


def test_a_folder_is_read_as_a_glob_of_its_files(make_weather: Make, write: Write, tmp_path: Path) -> None:
    data = make_weather(times=60)
    for number in range(3):
        write(data.isel(time=slice(20 * number, 20 * number + 20)), f"{number}.nc")
    (tmp_path / "readme.txt").write_text("about the data")
    (tmp_path / "empty.nc").write_bytes(b"")
    xr.testing.assert_equal(open_source(Source(path=str(tmp_path))).compute(), data)


@pytest.mark.parametrize("order", [("both", "warmer"), ("warmer", "both")])
def test_two_files_with_different_values_of_a_variable_are_refused(
    make_weather: Make, write: Write, order: tuple[str, str]
) -> None:
    data = make_weather()
    parts = {"both": data, "same": data[["t2m"]], "warmer": data[["t2m"]] + 1}
    paths = {name: write(part, f"{name}.nc") for name, part in parts.items()}
    with pytest.raises(
        InputError, match=r"'t2m' has other values in '.*' than in '.*': drop it from one of them"
    ):
        open_source(Source(path=[paths[name] for name in order]))
    relabelled = write(data["t2m"].assign_attrs(units="degC").to_dataset(), "relabelled.nc")
    with pytest.raises(InputError, match=r"'t2m' has other units in '.*' than in '.*'"):
        open_source(Source(path=[paths["both"], relabelled]))
    joined = open_source(Source(path=[paths["both"], paths["same"]]))
    xr.testing.assert_equal(joined.compute(), data)


def broken(path: Path, head: bytes) -> str:
    path.write_bytes(head)
    return str(path)


def truncated(make_weather: Make, write: Write, form: str = "NETCDF4", half: bool = False) -> str:
    path = Path(write(make_weather(), format=form, engine="netcdf4"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 if half else -1000])
    return str(path)


FILES: dict[str, tuple[Callable, str]] = {
    "missing": (
        lambda tmp, make, write: str(tmp / "no.nc"),
        "no.nc' does not exist: check its name (ingestion.path)",
    ),
    "no match": (lambda tmp, make, write: str(tmp / "no*.nc"), "no file matches"),
    "empty": (lambda tmp, make, write: broken(tmp / "a.nc", b""), "a.nc' is empty (0 bytes): copy"),
    "text": (lambda tmp, make, write: broken(tmp / "a.nc", b"time,t2m\n"), "a.nc' is not NetCDF: give"),
    "grib": (
        lambda tmp, make, write: broken(tmp / "a.grib", b"GRIB...."),
        "is not NetCDF but a GRIB file: convert it",
    ),
    "damaged": (
        lambda tmp, make, write: broken(tmp / "a.nc", b"\x89HDF\r\n\x1a\n junk"),
        "damaged or truncated NetCDF",
    ),
    "truncated": (
        lambda tmp, make, write: truncated(make, write),
        "weather.nc' is a damaged or truncated NetCDF",
    ),
    "truncated NetCDF 3": (
        lambda tmp, make, write: truncated(make, write, "NETCDF3_64BIT"),
        "weather.nc' is a damaged or truncated NetCDF",
    ),
    "half of a CDF-5": (
        lambda tmp, make, write: truncated(make, write, "NETCDF3_64BIT_DATA", half=True),
        "weather.nc' is a damaged or truncated NetCDF",
    ),
    "folder": (lambda tmp, make, write: str(tmp), "is a folder, not a Zarr store"),
    "no grid": (
        lambda tmp, make, write: write(make().mean(["latitude", "longitude"])),
        "weather.nc' has no latitude",
    ),
    "no variable": (
        lambda tmp, make, write: write(make().drop_vars(["t2m", "msl"])),
        "has no variable on (time, latitude, longitude)",
    ),
    "odd time units": (
        lambda tmp, make, write: write(
            make().assign_coords(time=("time", np.arange(60), {"units": "fortnights since 2001"}))
        ),
        "time",
    ),
    "other grid": (
        lambda tmp, make, write: [
            write(make(), "a.nc"),
            write(make(latitude=np.linspace(-50, 60, 5)), "b.nc"),
        ],
        "b.nc' are 5 from -50 to 60, those of",
    ),
    "other units": (
        lambda tmp, make, write: [
            write(make(), "a.nc"),
            write(make().assign(t2m=make()["t2m"].assign_attrs(units="degC")), "b.nc"),
        ],
        "'t2m' is in 'K' in",
    ),
    "other times": (
        lambda tmp, make, write: [write(make()[["t2m"]], "a.nc"), write(make(times=50)[["msl"]], "b.nc")],
        ", and other variables ('msl', not 't2m'): give files of the same period, or",
    ),
}


@pytest.mark.parametrize("family", FILES)
def test_files_refused_in_one_sentence(make_weather: Make, write: Write, tmp_path: Path, family: str) -> None:
    spoil, message = FILES[family]
    with pytest.raises(InputError) as caught:
        open_source(Source(path=spoil(tmp_path, make_weather, write)))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variables": ["t2n"]}, "variable 't2n' is not in '"),
        ({"variables": ["t2n"]}, "the nearest is 't2m', see ingestion.variables"),
        ({"period": (1979, 1980)}, "ingestion.period [1979, 1980] exceeds the data"),
        ({"step_hours": 36}, "ingestion.step_hours is 36, but '"),
        ({"step_hours": 12}, "has a step of 24 hours: give a multiple"),
    ],
)
def test_choices_refused_in_one_sentence(
    make_weather: Make, write: Write, options: dict, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        open_source(Source(path=write(make_weather()), **options))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_misspelt_options_and_wrong_types() -> None:
    for options in ({"variable": ["t2m"]}, {"gaps": "ignore"}, {"step_hours": "daily"}):
        with pytest.raises(ValidationError):
            Source(path="a.nc", **options)  # type: ignore[arg-type]


def test_a_missing_network_is_reported_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(opening._HOSTS, "gs", "http://localhost:9")
    with pytest.raises(InputError, match=r"'gs://era5/x.zarr' cannot be reached .*: check the network"):
        open_source(Source(path="gs://era5/x.zarr"))
    with pytest.raises(InputError, match=r"there is no Zarr store at 'memory://nowhere\.zarr'"):
        open_source(Source(path="memory://nowhere.zarr"))
