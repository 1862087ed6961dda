"""Zarr stores hold what was saved, completely or not at all: round trips, open readers, kills, full disks."""

import asyncio
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
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kedro.io.core import DatasetError
from numcodecs import CRC32C, Blosc
from stores import full_disk, leftovers, weather
from zarr.storage import LocalStore

from fieldcast.datasets import DamagedError, ZarrDataset


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


def test_a_reader_of_a_replaced_store_is_refused(tmp_path: Path) -> None:
    """The chunks in its place are those of another data set."""
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), load_args={"lazy": True})
    stored.save(weather())
    first = stored.load()
    stored.save(weather(3))
    with pytest.raises(DatasetError, match=r"a\.zarr' has been replaced since it was opened: load it again"):
        first.compute()
    xr.testing.assert_identical(stored.load().compute(), weather(3))
    assert leftovers(tmp_path) == []


def test_a_store_may_be_saved_over_from_itself(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), load_args={"lazy": True})
    stored.save(weather())
    lazy = stored.load()
    stored.save(lazy.assign(z=lazy["z"] + 1))
    assert np.array_equal(stored.load()["z"], weather()["z"] + 1)


def test_stores_of_format_2_are_read(tmp_path: Path) -> None:
    """Format 2 with checksums as filters: what earlier versions wrote."""
    filters = [Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE), CRC32C()]
    data = weather()[["z"]].assign(z=weather()["z"].astype("f4"))
    encoding = {"z": {"chunks": (2, 4, 5), "filters": filters, "compressors": None}}
    data.to_zarr(
        tmp_path / "a.zarr", zarr_format=2, encoding=encoding, write_empty_chunks=True, consolidated=True
    )
    for lazy in (False, True, "auto"):
        stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), load_args={"lazy": lazy})
        assert stored.exists()
        np.testing.assert_array_equal(stored.load()["z"].compute(), data["z"])
    chunk = tmp_path / "a.zarr/z/1.0.0"
    content = chunk.read_bytes()
    chunk.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedError, match=r"its chunk z/1\.0\.0 does not match its checksum"):
        ZarrDataset(filepath=str(tmp_path / "a.zarr")).load()
    chunk.unlink()
    with pytest.raises(DamagedError, match=r"its chunk z/1\.0\.0 is missing"):
        ZarrDataset(filepath=str(tmp_path / "a.zarr")).load()
    ZarrDataset(filepath=str(tmp_path / "a.zarr")).save(data)
    assert (tmp_path / "a.zarr/zarr.json").exists() and not (tmp_path / "a.zarr/.zmetadata").exists()


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
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"))
    stored.save(weather())
    monkeypatch.setattr(xr.Dataset, "to_zarr", full_disk)
    with pytest.raises(DatasetError) as caught:
        stored.save(weather(3))
    sentence = str(caught.value)
    assert (
        "could not be written (No space left on device): free some space" in sentence and "\n" not in sentence
    )
    xr.testing.assert_identical(stored.load(), weather())
    assert leftovers(tmp_path) == []


def test_writes_that_continue_after_one_has_failed_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zarr writes objects side by side: here one fails before the others have begun."""
    write = LocalStore.set

    async def late(store: LocalStore, key: str, value: Any) -> None:
        if key == "zarr.json":
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
