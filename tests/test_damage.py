"""Data that a disk has damaged, lost or never received are refused by name or recreated, never used."""

import logging
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from kedro.io.core import DatasetError
from stores import dataset

from fieldcast.datasets import DamagedError, ZarrDataset
from fieldcast.datasets.base import damage_of, earlier

pytestmark = pytest.mark.proof


def weather() -> xr.Dataset:
    z = np.random.default_rng(0).standard_normal((6, 4, 5)).astype(np.float32)
    z[2:4] = np.nan  # a chunk of fill values
    texts = ("y", ["random", "blocks", "ø", ""])
    return xr.Dataset(
        {"z": (("time", "y", "x"), z, {"units": "m"})},
        {"time": xr.date_range("2001-01-01", periods=6), "pattern": texts},
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A sound store of three chunks of z."""
    path = tmp_path / "a.zarr"
    ZarrDataset(filepath=str(path), save_args={"chunks": {"time": 2}}).save(weather())
    return path


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def loaded(path: Path, lazy: bool) -> xr.Dataset:
    return ZarrDataset(filepath=str(path), load_args={"lazy": lazy}).load().compute()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("chunk", ["z/c/0/0/0", "z/c/1/0/0", "time/c/0", "pattern/c/0"])
def test_a_flipped_bit_anywhere_in_a_chunk_is_refused(store: Path, chunk: str, lazy: bool) -> None:
    size = (store / chunk).stat().st_size
    for place in {0, size // 3, size // 2, size - 1}:
        flip(store / chunk, place)
        with pytest.raises(DamagedError) as caught:
            loaded(store, lazy)
        assert f"'{store}' is damaged (its chunk {chunk} does not match its checksum)" in str(caught.value)
        assert "run the stage that writes it again" in str(caught.value) and "\n" not in str(caught.value)
        flip(store / chunk, place)
    xr.testing.assert_identical(loaded(store, lazy), weather())


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("chunk", ["z/c/0/0/0", "z/c/1/0/0", "time/c/0"])
def test_a_lost_chunk_is_not_one_of_fill_values(store: Path, chunk: str, lazy: bool) -> None:
    (store / chunk).unlink()
    with pytest.raises(DamagedError, match=f"its chunk {chunk} is missing"):
        loaded(store, lazy)


@pytest.mark.parametrize("name", ["zarr.json", "z/c/0/0/0"])
@pytest.mark.parametrize("lazy", [False, True])
def test_files_that_are_empty_after_a_loss_of_power_are_refused(store: Path, name: str, lazy: bool) -> None:
    (store / name).write_bytes(b"")
    with pytest.raises(DamagedError, match="is damaged"):
        loaded(store, lazy)


def test_stores_of_earlier_versions_are_read_without_checksums(tmp_path: Path) -> None:
    path = tmp_path / "old.zarr"
    weather().to_zarr(path, zarr_format=2, encoding={"z": {"chunks": (2, 4, 5)}}, write_empty_chunks=False)
    assert not (path / "z/1.0.0").exists()
    for lazy in (False, True):
        xr.testing.assert_identical(loaded(path, lazy), weather())


def test_nothing_resumes_from_a_damaged_store(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    for lazy in (False, True):
        stored = ZarrDataset(filepath=str(store), load_args={"lazy": lazy})
        xr.testing.assert_identical(stored.earlier().compute(), weather())
    flip(store / "z/c/2/0/0", 7)
    with caplog.at_level(logging.WARNING):
        assert stored.earlier() is None
    assert f"'{store}' is damaged (its chunk z/c/2/0/0 does not match its checksum)" in caplog.text


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    table, text = dataset("parquet", tmp_path / "a.parquet"), dataset("json", tmp_path / "a")
    table.save(pd.DataFrame({"value": np.random.default_rng(0).random(1000)}))
    text.save({"train": ["2001"]})
    flip(tmp_path / "a.parquet", 3000)
    (tmp_path / "a").write_bytes(b"")
    for stored in (table, text):
        with pytest.raises(DatasetError) as caught:
            stored.load()
        damage = str(damage_of(stored, caught.value))
        assert re.match(r"'.*/a(\.parquet)?' is damaged \(.*run the stage that writes it", damage)


def test_nothing_resumes_from_a_damaged_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_bytes(b"value\n\xff\n")
    stored = dataset("csv", tmp_path / "a.csv")
    with caplog.at_level(logging.WARNING):
        assert earlier(stored) is None
    assert f"'{tmp_path / 'a.csv'}' is damaged (" in caplog.text and "it will be recreated" in caplog.text


def test_the_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(DamagedError("a.zarr", "it is empty")))
    assert (error.path, error.reason) == ("a.zarr", "it is empty") and "'a.zarr' is damaged" in str(error)


def test_data_are_synced_to_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order in which a loss of power could tell files, folders and renames apart."""
    events: list[tuple[str, str]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def flushed(descriptor: int) -> None:
        events.append(("flush", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def renamed(by: Callable[..., None]) -> Callable[..., None]:
        def run(old: Any, new: Any) -> None:
            events.append(("rename", str(old)))
            by(old, new)

        return run

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "rename", renamed(rename))
    monkeypatch.setattr(os, "replace", renamed(replace))
    ZarrDataset(filepath=str(tmp_path / "a.zarr")).save(weather())
    partial = str(tmp_path / "a.zarr.partial")
    at = events.index(("rename", partial))
    before, after = ({path for _, path in some} for some in (events[:at], events[at:]))
    names = {str(path.relative_to(tmp_path / "a.zarr")) for path in (tmp_path / "a.zarr").rglob("*")}
    assert {f"{partial}/{name}" for name in names} | {partial} <= before and "zarr.json" in names
    assert str(tmp_path) in after
    events.clear()
    dataset("json", tmp_path / "a").save({})
    assert [kind for kind, _ in events] == ["flush", "rename", "flush"] and events[-1][1] == str(tmp_path)


def test_reading_between_two_renames_moves_nothing(store: Path) -> None:
    """A writer that is in the midst of publishing would lose what it has written."""
    aside = store.with_name("a.zarr.old")
    os.rename(store, aside)
    for lazy in (False, True):
        stored = ZarrDataset(filepath=str(store), load_args={"lazy": lazy})
        assert stored.exists()
        xr.testing.assert_identical(stored.load().compute(), weather())
    assert sorted(path.name for path in store.parent.iterdir()) == [aside.name]


def test_a_writer_recovers_a_store_that_it_reads_lazily(store: Path) -> None:
    os.rename(store, store.with_name("a.zarr.old"))
    stored = ZarrDataset(filepath=str(store), load_args={"lazy": True})
    lazy = stored.load()
    stored.save(lazy.assign(z=lazy["z"] + 1))
    np.testing.assert_array_equal(stored.load()["z"], weather()["z"] + 1)
