"""NetCDF files hold what was saved, completely or not at all."""

import os
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from kedro.io.core import DatasetError
from stores import full_disk, leftovers, weather

from fieldcast.datasets import DamagedError, NetCDFDataset


@pytest.mark.parametrize("calendar", ["noleap", "standard"])
@pytest.mark.parametrize("place", [None, "memory://netcdf/a.nc"])
def test_netcdf_round_trip(tmp_path: Path, calendar: str, place: str | None) -> None:
    stored = NetCDFDataset(filepath=place or str(tmp_path / "new/a.nc"))
    data = weather(4, calendar)
    data["time"].encoding = {"units": "hours since 1990-01-01 12:00:00", "calendar": calendar}
    stored.save(data)
    xr.testing.assert_identical(stored.load(), data)
    assert stored.load()["time"].encoding["units"] == "hours since 1990-01-01T12:00:00"
    assert stored.load()["time"].encoding["calendar"] in (calendar, "proleptic_gregorian")


def test_coordinates_in_netcdf_have_no_fill_value(tmp_path: Path) -> None:
    data = weather(2)[["z"]].assign_coords(y=[0.5, 1.5, 2.5, 3.5])
    NetCDFDataset(filepath=str(tmp_path / "a.nc")).save(data)
    stored = xr.open_dataset(tmp_path / "a.nc", decode_cf=False)
    assert "_FillValue" not in stored["y"].attrs and "_FillValue" in stored["z"].attrs


def test_a_full_disk_leaves_the_old_netcdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = NetCDFDataset(filepath=str(tmp_path / "a.nc"))
    stored.save(weather(2))
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DatasetError, match=r"a\.nc' could not be written .No space left on device.: free"):
        stored.save(weather(3))
    xr.testing.assert_identical(stored.load(), weather(2))
    assert leftovers(tmp_path) == []


def test_lazy_data_become_netcdf(tmp_path: Path) -> None:
    lazy = weather(12).chunk({"time": 1})
    lazy["z"] = 2 * lazy["z"]
    stored = NetCDFDataset(filepath=str(tmp_path / "a.nc"))
    stored.save(lazy)
    xr.testing.assert_identical(stored.load(), lazy.compute())


@pytest.mark.parametrize(("free", "phrase"), [(0, "No space left on device"), (10**9, "HDF error")])
def test_an_error_of_the_hdf_library_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, phrase: str
) -> None:
    def broken(self: xr.Dataset, path: str, **options: Any) -> None:
        Path(path).write_bytes(b"half a file")
        raise RuntimeError("NetCDF: HDF error")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", broken)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": free}))
    with pytest.raises(DatasetError, match=rf"a\.nc' could not be written .*{phrase}"):
        NetCDFDataset(filepath=str(tmp_path / "a.nc")).save(weather(2))
    assert leftovers(tmp_path) == []


def test_a_changed_value_in_a_netcdf_is_refused(tmp_path: Path) -> None:
    stored = NetCDFDataset(filepath=str(tmp_path / "a.nc"))
    data = weather(12)
    stored.save(data)
    content = bytearray((tmp_path / "a.nc").read_bytes())
    content[content.index(data["z"].values[:, 0].tobytes()[:16])] ^= 1
    (tmp_path / "a.nc").write_bytes(content)
    with pytest.raises(DamagedError, match=r"a\.nc' is damaged"):
        stored.load()


def test_a_packed_source_gets_checksums_too(tmp_path: Path) -> None:
    data = weather(4)
    packed = {"dtype": "int16", "scale_factor": 0.001, "_FillValue": -(2**15), "contiguous": True}
    data["z"].encoding = packed
    NetCDFDataset(filepath=str(tmp_path / "a.nc")).save(data)
    with xr.open_dataset(tmp_path / "a.nc") as stored:
        assert stored["z"].encoding["fletcher32"] and stored["z"].encoding["dtype"] == "int16"
    assert data["z"].encoding == packed


def test_a_missing_netcdf_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist: run the stage that writes it first"):
        NetCDFDataset(filepath=str(tmp_path / "a.nc")).load()
