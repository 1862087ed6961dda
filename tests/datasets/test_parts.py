"""Data sets larger than a quarter of the memory available are read in parts, with the values of an eager load."""

import resource
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
import zarr

from fieldcast.datasets import DamagedError, ZarrDataset, parts
from fieldcast.datasets.parts import available


@pytest.fixture
def data():
    x = np.random.default_rng(0).normal(size=(1000, 32, 64)).astype(np.float32)
    x[:, 3, 4] = np.nan
    place = {"latitude": np.arange(32.0), "longitude": np.arange(64.0)}
    time = np.datetime64("2001-01-01") + np.arange(1000)
    segment = ("time", np.zeros(1000, np.int32))
    dims = ("time", "latitude", "longitude")
    return xr.Dataset(
        {"t": (dims, x, {"units": "K"}), "z": (dims, x + 1, {"units": "m"}), "height": (dims[1:], x[0])},
        {"time": time.astype("M8[ns]"), "segment": segment, **place},
        {"digest": "1"},
    )  # fmt: skip


@pytest.fixture
def stored(data, tmp_path, monkeypatch):
    dataset = ZarrDataset(
        filepath=str(tmp_path / "x.zarr"), load_args={"lazy": "auto"}, save_args={"chunk_bytes": 2**20}
    )
    dataset.save(data)
    monkeypatch.setattr(parts, "CHUNK_BYTES", 2**20)
    return dataset


def test_a_large_data_set_stays_on_the_disk(stored, data, monkeypatch, caplog):
    assert stored.load().t.variable._in_memory
    monkeypatch.setattr(parts, "available", lambda: 4 * data.nbytes - 1)
    with caplog.at_level("INFO"):
        lazy = stored.load()
        stored.load()
    assert not lazy.t.variable._in_memory and lazy.height.variable._in_memory and lazy.t.chunks is None
    assert caplog.text.count("it is read in parts") == 1
    assert "(16.4 MB) takes more than 25 % of the memory available (65.6 MB)" in caplog.text
    xr.testing.assert_identical(lazy.load(), data)
    assert not stored.load().t.variable._in_memory  # nothing was kept


def test_a_share_of_the_memory_may_be_given(stored, data, tmp_path, monkeypatch):
    of_memory = ZarrDataset(filepath=str(tmp_path / "x.zarr"), load_args={"lazy": 0.05})
    for memory, loaded in ((20 * data.nbytes - 1, False), (20 * data.nbytes, True)):
        monkeypatch.setattr(parts, "available", lambda memory=memory: memory)
        assert of_memory.load().t.variable._in_memory == loaded


def test_chunks_are_a_power_of_two_of_fields(stored, data, tmp_path):
    assert zarr.open_group(tmp_path / "x.zarr")["t"].chunks == (128, 32, 64)
    stored.save(data.chunk({"time": 130}))  # from a source with other chunks
    assert zarr.open_group(tmp_path / "x.zarr")["t"].chunks == (128, 32, 64)
    xr.testing.assert_identical(stored.load(), data)


def test_a_data_set_read_in_parts_is_saved_block_by_block(stored, data, monkeypatch):
    monkeypatch.setattr(parts, "available", lambda: 0)
    lazy = stored.load()
    stored.save(lazy.assign_attrs(digest="2"))  # over the store that it is read from
    xr.testing.assert_identical(stored.load().load(), data.assign_attrs(digest="2"))
    monkeypatch.setattr(parts, "available", lambda: 0)
    written = parts.with_dask(stored.load())
    assert written.t.chunks[0][:2] == (128, 128)


def test_damage_of_a_data_set_read_in_parts_shows_where_it_is_read(stored, tmp_path, monkeypatch):
    chunk = tmp_path / "x.zarr" / "t" / "c" / "3" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-9] + b"123456789")
    monkeypatch.setattr(parts, "available", lambda: 0)
    lazy = stored.load()
    lazy.t[:100].load()
    with pytest.raises(DamagedError):
        lazy.t[400:402].load()
    assert stored.earlier() is None


def test_a_limit_of_the_process_is_the_memory_available():
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30)); "
    program = "from fieldcast.datasets.parts import available; print(available())"
    result = subprocess.run(
        [sys.executable, "-c", limit + program], capture_output=True, text=True, check=True
    )
    assert 0 < int(result.stdout) < 2**30
    pages = resource.getpagesize()
    assert 2**20 < available() < pages * 2**40
