"""Files hold what was saved, completely or not at all: tables, text, JSON, bytes, NetCDF, folders."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io.core import DatasetError
from stores import full_disk, leftovers, weather

from fieldcast.datasets import (
    BytesDataset,
    FolderDataset,
    JSONDataset,
    NetCDFDataset,
    TableDataset,
    TextDataset,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False), st.integers(-(2**53), 2**53), st.text("abcé ,\"'", min_size=1))
    )
)
def test_tables_round_trip(tmp_path: Path, records: list) -> None:
    data = pd.DataFrame(records, columns=["value", "count", "word"]).astype(
        {"value": float, "count": int, "word": str}
    )
    for name in ("a.csv", "a.parquet"):
        stored = TableDataset(filepath=str(tmp_path / name))
        stored.save(data)
        loaded = stored.load()
        assert list(loaded.columns) == list(data.columns)
        assert (
            loaded["value"].to_list() == data["value"].to_list()
            and loaded["count"].to_list() == data["count"].to_list()
        )
        if name == "a.parquet":
            pd.testing.assert_frame_equal(loaded, data)


def test_empty_tables_and_missing_files(tmp_path: Path) -> None:
    table = TableDataset(filepath=str(tmp_path / "deep" / "a.csv"), missing="empty")
    assert table.load().empty and not table.exists()
    table.save(pd.DataFrame())
    assert table.load().empty and table.exists()
    assert BytesDataset(filepath=str(tmp_path / "a"), missing="none").load() is None
    assert JSONDataset(filepath=str(tmp_path / "a"), missing="none").load() is None
    for kind in (BytesDataset, JSONDataset, TextDataset):
        with pytest.raises(DatasetError, match="does not exist: run the stage"):
            kind(filepath=str(tmp_path / "a")).load()
    with pytest.raises(DatasetError, match=r"neither .csv nor .parquet"):
        TableDataset(filepath=str(tmp_path / "a.xls"))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (BytesDataset, b"\0\xff"),
        (TextDataset, "<p>Grüße\r\n</p>"),
        (JSONDataset, {"a": [1, None, "é"], "b": 0.1}),
    ],
)
@pytest.mark.parametrize("place", ["memory://files", None])
def test_files_round_trip(tmp_path: Path, kind: Callable, data: Any, place: str | None) -> None:
    stored = kind(filepath=f"{place or tmp_path}/x/a")
    stored.save(data)
    assert stored.exists() and stored.load() == data
    assert pickle.loads(pickle.dumps(stored)).load() == data


def test_previews_of_tables_and_json(tmp_path: Path) -> None:
    table = TableDataset(filepath=str(tmp_path / "a.csv"))
    table.save(pd.DataFrame({"k": np.arange(50), "v": np.nan}))
    assert table.preview(nrows=2) == {"columns": ["k", "v"], "index": [0, 1], "data": [[0, None], [1, None]]}
    assert TableDataset.preview.__annotations__["return"].__name__ == "TablePreview"
    saved = JSONDataset(filepath=str(tmp_path / "a.json"))
    saved.save({"a": 1})
    assert saved.preview() == '{"a": 1}'


def test_a_preview_may_show_selected_rows_in_order(tmp_path: Path) -> None:
    table = TableDataset(filepath=str(tmp_path / "a.csv"))
    table.save(
        pd.DataFrame(
            {"score": ["rmse", "crps", "crps", "crps"], "k": [0.1, 0.1, 0.5, 0.1], "v": [0, 3, 2, 1]}
        )
    )
    preview = table.preview(where={"score": ["crps"], "k": [0.1], "region": ["globe"]}, sort="v")
    assert preview["data"] == [["crps", 0.1, 1], ["crps", 0.1, 3]]
    assert table.preview(nrows=2, sort="absent")["data"] == [["rmse", 0.1, 0], ["crps", 0.1, 3]]


def test_a_digest_that_looks_like_a_number_stays_one(tmp_path: Path) -> None:
    """48213e905716 was read as infinity, and a leading zero was lost: the table then seemed to be of another model."""
    table = TableDataset(filepath=str(tmp_path / "a.csv"))
    written = pd.DataFrame({"model": ["48213e905716", "012345678901"], "value": [0.1 + 0.2, 1e-17 / 3]})
    table.save(written)
    pd.testing.assert_frame_equal(table.load(), written, check_exact=True)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = BytesDataset(filepath=str(tmp_path / "a"))
    stored.save(b"old")

    def killed(*paths: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        stored.save(b"new")
    monkeypatch.undo()
    assert stored.load() == b"old"
    stored.save(b"new")
    assert stored.load() == b"new" and leftovers(tmp_path) == []


def test_no_bytes_are_no_file(tmp_path: Path) -> None:
    stored = BytesDataset(filepath=str(tmp_path / "a"), missing="none")
    stored.save(b"x")
    stored.save(b"")
    assert stored.load() is None and not stored.exists()


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


@pytest.mark.parametrize("place", [None, "memory:///folder"])
def test_a_folder_lists_its_files_and_reads_them_on_demand(tmp_path: Path, place: str | None) -> None:
    root = place or str(tmp_path / "models")
    folder = FolderDataset(filepath=root, name="a.bin")
    assert folder.load() == {} and not folder.exists()
    for path in ("x/y/a.bin", "x/z/a.bin", "x/z/other-a.bin", "x/z/a.bin.partial"):
        BytesDataset(filepath=f"{root}/{path}").save(path.encode())
    readers = folder.load()
    assert {name: read() for name, read in readers.items()} == {"x/y": b"x/y/a.bin", "x/z": b"x/z/a.bin"}
    with pytest.raises(DatasetError, match="read only"):
        folder.save(b"")
