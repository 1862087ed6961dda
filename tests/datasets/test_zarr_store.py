"""Zarr stores hold what was saved, completely or not at all: round trips, open readers, kills, full disks."""

import asyncio
import gc
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kedro.io.core import DatasetError
from stores import full_disk, leftovers, weather
from zarr.storage import LocalStore

from fieldcast.datasets import (
    TableDataset,
    ZarrDataset,
)


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard"])
@pytest.mark.parametrize("lazy", [False, "auto", True])
def test_times_after_2262_are_read_without_a_warning(
    tmp_path: Path, calendar: str, lazy: bool | str, recwarn: pytest.WarningsRecorder
) -> None:
    times = xr.date_range("2300-01-01", periods=12, calendar=calendar, use_cftime=True)
    data = weather().assign_coords(time=times)
    dataset = ZarrDataset(filepath=str(tmp_path / "a.zarr"), load_args={"lazy": lazy})
    dataset.save(data)
    assert (dataset.load()["time"].values == times.values).all()
    assert not [str(warning.message) for warning in recwarn if "time axis" in str(warning.message)]


@st.composite
def datasets(draw: st.DrawFn) -> xr.Dataset:
    """Variables of several types on shared dimensions, with attributes and coordinates of dates and text."""
    sizes = {dim: draw(st.integers(1, 5)) for dim in ("time", "y", "x")}
    texts = st.text(
        st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
    )
    variables: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(["z500", "t2m", "Überschuss", "q"]), min_size=1, unique=True)):
        dims = draw(st.lists(st.sampled_from(sorted(sizes)), unique=True))
        dtype = draw(st.sampled_from(["f4", "f8", "i4", "i8", "bool"]))
        values = draw(hnp.arrays(dtype, tuple(sizes[dim] for dim in dims)))
        variables[name] = (
            dims,
            values,
            draw(st.dictionaries(st.sampled_from(["units", "long_name"]), texts)),
        )
    calendar = draw(st.sampled_from(["noleap", "standard"]))
    start = draw(st.sampled_from(["1979-02-27", "2004-02-28T06:30:15"]))
    freq = draw(st.sampled_from(["D", "6h", "1s"]))
    times = xr.date_range(
        start, periods=sizes["time"], freq=freq, calendar=calendar, use_cftime=calendar == "noleap"
    )
    coords = {"time": times, "label": ("y", draw(st.lists(texts, min_size=sizes["y"], max_size=sizes["y"])))}
    attrs = draw(
        st.dictionaries(st.sampled_from("abc"), st.one_of(texts, st.integers(-9, 9), st.floats(-1, 1)))
    )
    return xr.Dataset(variables, coords, attrs)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(datasets())
def test_zarr_round_trip(tmp_path: Path, data: xr.Dataset) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "any.zarr"))
    stored.save(data)
    loaded = stored.load()
    xr.testing.assert_identical(loaded, data)
    assert list(loaded.data_vars) == list(data.data_vars)
    for name in data.variables:
        assert loaded[name].dtype.kind == data[name].dtype.kind
    assert leftovers(tmp_path) == []


def test_stores_are_loaded_lazily_in_the_requested_chunks(tmp_path: Path) -> None:
    path, data = str(tmp_path / "a.zarr"), weather(100)
    ZarrDataset(filepath=path, save_args={"chunks": {"time": 16}}).save(data)
    lazy = ZarrDataset(filepath=path, load_args={"lazy": True}).load()
    assert lazy["z"].chunks == ((16,) * 6 + (4,), (4,), (5,))
    assert ZarrDataset(filepath=path, load_args={"chunks": {"time": 48}}).load()["z"].chunks[0] == (48, 48, 4)
    assert ZarrDataset(filepath=path).load()["z"].chunks is None
    xr.testing.assert_identical(lazy.compute(), data)


def test_lazy_data_of_uneven_chunks_and_packed_sources_are_saved_as_they_are(tmp_path: Path) -> None:
    data = weather(10)
    data["z"].encoding = {"dtype": "int16", "scale_factor": 100.0, "_FillValue": -1}
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"))
    stored.save(data.chunk(time=(3, 3, 1, 3)))
    xr.testing.assert_identical(stored.load(), data)


def test_remote_filesystems(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath="memory://somewhere/a.zarr")
    assert not stored.exists()
    for n in (12, 5):
        stored.save(weather(n))
        xr.testing.assert_identical(stored.load(), weather(n))
    left = [name for name in stored._fs.find("/") if "a.zarr" in name]
    assert stored.exists() and not any("partial" in name for name in left)


def test_pickles_previews_and_describes_itself(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="time")
    stored.save(weather())
    xr.testing.assert_identical(pickle.loads(pickle.dumps(stored)).load(), weather())
    preview = stored.preview()
    assert ZarrDataset.preview.__annotations__["return"].__name__ == "JSONPreview"
    assert '"z": "float32 (time: 12, y: 4, x: 5) m"' in preview and "2001-01-01" in preview
    assert "append='time'" in str(stored)


def test_a_missing_store_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a.zarr' does not exist: run the stage that writes it first"):
        ZarrDataset(filepath=str(tmp_path / "a.zarr")).load()
    assert ZarrDataset(filepath=str(tmp_path / "a.zarr"), missing="none").load() is None


def test_readers_keep_what_they_opened(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), load_args={"lazy": True})
    stored.save(weather())
    first = stored.load()
    stored.save(weather(3))
    second = stored.load()
    stored.save(weather(7))
    xr.testing.assert_identical(first.compute(), weather())
    xr.testing.assert_identical(second.compute(), weather(3))
    xr.testing.assert_identical(stored.load().compute(), weather(7))
    del first, second
    gc.collect()
    assert leftovers(tmp_path) == []


def test_a_store_may_be_saved_over_from_itself(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), load_args={"lazy": True})
    stored.save(weather())
    lazy = stored.load()
    stored.save(lazy.assign(z=lazy["z"] + 1))
    assert np.array_equal(stored.load()["z"], weather()["z"] + 1)
    assert np.array_equal(lazy["z"], weather()["z"])


WRITER = """
import sys, numpy as np, xarray as xr
from fieldcast.datasets import ZarrDataset
stored = ZarrDataset(filepath=sys.argv[1], save_args={"chunks": {"t": 1}})
for i in range(1000):
    stored.save(xr.Dataset({"x": ("t", np.full(40, i))}))
    print(i, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_store(tmp_path: Path) -> None:
    path = str(tmp_path / "a.zarr")
    stored = ZarrDataset(filepath=path)
    rng = np.random.default_rng(0)
    process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for kill in range(3):
        saved = int(process.stdout.readline())
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGSTOP)  # a kill, as far as the disk can tell; the process is used again
        os.waitpid(process.pid, os.WUNTRACED)  # until all its threads have stopped
        values = copied(tmp_path, kill).load()["x"].values
        assert np.all(values == values[0]) and values.size == 40 and values[0] >= saved
        process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    process.stdout.close()
    (tmp_path / f"a.zarr.old-{process.pid}-0123").mkdir()
    stored.save(stored.load())
    assert leftovers(tmp_path) == []
    assert np.unique(stored.load()["x"].values).size == 1


def copied(folder: Path, number: int) -> ZarrDataset:
    """Copy the folder as it is at this moment: the state that a restart after a kill would meet."""
    there = folder.parent / f"{folder.name}-{number}"
    shutil.copytree(folder, there)
    return ZarrDataset(filepath=str(there / "a.zarr"))


@pytest.mark.parametrize("broken", [0, 1])
def test_a_kill_between_the_renames_brings_the_old_store_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"))
    stored.save(weather())
    rename, calls = os.rename, iter(range(9))

    def killed(*paths: str) -> None:
        if next(calls) == broken:
            raise KeyboardInterrupt
        rename(*paths)

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        stored.save(weather(3))
    monkeypatch.undo()
    assert stored.exists()
    xr.testing.assert_identical(stored.load(), weather())
    stored.save(weather(3))
    xr.testing.assert_identical(stored.load(), weather(3))
    assert leftovers(tmp_path) == []


def test_a_full_disk_is_reported_in_one_sentence_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr, table = (
        ZarrDataset(filepath=str(tmp_path / "a.zarr")),
        TableDataset(filepath=str(tmp_path / "a.csv")),
    )
    old = pd.DataFrame({"a": [1]})
    zarr.save(weather())
    table.save(old)
    monkeypatch.setattr(xr.Dataset, "to_zarr", full_disk)
    monkeypatch.setattr(os, "fsync", full_disk)
    for stored, new in ((zarr, weather(3)), (table, pd.DataFrame({"a": [2]}))):
        with pytest.raises(DatasetError) as caught:
            stored.save(new)
        sentence = str(caught.value)
        assert (
            "could not be written (No space left on device): free some space" in sentence
            and "\n" not in sentence
        )
    xr.testing.assert_identical(zarr.load(), weather())
    pd.testing.assert_frame_equal(table.load(), old)
    assert leftovers(tmp_path) == []


def test_writes_that_continue_after_one_has_failed_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zarr writes objects side by side: here one fails before the others have begun."""
    write = LocalStore.set

    async def late(store: LocalStore, key: str, value: Any) -> None:
        if key.endswith(".zgroup"):
            full_disk()
        await asyncio.sleep(0.3)
        await write(store, key, value)

    monkeypatch.setattr(LocalStore, "set", late)
    with pytest.raises(DatasetError, match="No space left on device"):
        ZarrDataset(filepath=str(tmp_path / "a.zarr")).save(weather())
    time.sleep(0.6)
    assert list(tmp_path.iterdir()) == []


def test_a_look_between_the_renames_of_a_save_moves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "a.zarr")
    stored = ZarrDataset(filepath=path)
    stored.save(weather())
    rename, looked = os.rename, []

    def look(*paths: Any) -> None:
        rename(*paths)
        if not looked:
            looked.append(1)
            other = ZarrDataset(filepath=path)
            assert other.exists()
            xr.testing.assert_identical(other.load(), weather())

    monkeypatch.setattr(os, "rename", look)
    stored.save(weather(3))
    assert looked
    xr.testing.assert_identical(stored.load(), weather(3))
