"""Data sets load what was saved, completely or not at all: round trips, streams, open readers, kills, full disks."""

import ast
import asyncio
import base64
import errno
import gc
import io
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kedro.io import AbstractDataset, DataCatalog, SharedMemoryDataCatalog
from kedro.io.core import DatasetError
from kedro.pipeline import Pipeline, node
from kedro.runner import ParallelRunner, SequentialRunner
from PIL import Image
from zarr.storage import LocalStore

from fieldcast.datasets import (
    BytesDataset,
    FolderDataset,
    InMemoryDataset,
    JSONDataset,
    NetCDFDataset,
    PicturesDataset,
    ResultsDataset,
    ResumableDataset,
    TableDataset,
    TextDataset,
    ZarrDataset,
    zarr_store,
)


def weather(n: int = 12, calendar: str = "noleap") -> xr.Dataset:
    rng = np.random.default_rng(n)
    return xr.Dataset(
        {
            "z": (("time", "y", "x"), rng.standard_normal((n, 4, 5)).astype(np.float32), {"units": "m"}),
            "a": (("variable",), [1.5, -2.0]),
        },
        {
            "time": xr.date_range(
                "2001-01-01", periods=n, calendar=calendar, use_cftime=calendar == "noleap"
            ),
            "variable": ["t650", "z"],
            "pattern": ("y", ["random", "blocks", "ø", ""]),
        },
        {"digest": "0123456789ab", "step_hours": 24.0, "wraps": 1},
    )


def leftovers(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if ".partial" in name or ".old" in name)


# --- Zarr: round trips


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


def test_lazily_loaded_and_chunked_as_asked(tmp_path: Path) -> None:
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
    assert stored.exists() and not any("partial" in name for name in stored._fs.find("/"))


def test_pickles_previews_and_describes_itself(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="time")
    stored.save(weather())
    xr.testing.assert_identical(pickle.loads(pickle.dumps(stored)).load(), weather())
    preview = stored.preview()
    assert ZarrDataset.preview.__annotations__["return"].__name__ == "JSONPreview"
    assert '"z": "float32 (time: 12, y: 4, x: 5) m"' in preview and "2001-01-01" in preview
    assert "append='time'" in str(stored)


def test_a_missing_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a.zarr' does not exist: run the stage that writes it first"):
        ZarrDataset(filepath=str(tmp_path / "a.zarr")).load()
    assert ZarrDataset(filepath=str(tmp_path / "a.zarr"), missing="none").load() is None


# --- Zarr: streams


def pieces(full: xr.Dataset, cuts: list[int]) -> Iterator[xr.Dataset]:
    bounds = [0, *cuts, full.sizes["lead"]]
    for i in range(len(bounds) - 1):
        yield full.isel(lead=slice(bounds[i], bounds[i + 1])).assign_attrs(piece=i, pieces=len(bounds) - 1)


def forecasts() -> xr.Dataset:
    start = np.array(["2001-01-01", "2002-03-04T06"], dtype="M8[ns]")
    lead = np.arange(9) * 7
    valid = start[:, None] + lead * np.timedelta64(1, "h")
    z = np.random.default_rng(0).random((2, 9, 3), dtype=np.float32)
    return xr.Dataset(
        {"z": (("start", "lead", "x"), z), "h": ("x", [1.0, 2.0, 3.0])},
        {"start": start, "lead": lead, "valid": (("start", "lead"), valid)},
        {"digest": "x"},
    )  # fmt: skip


@pytest.mark.parametrize("place", ["memory://streams", None])
@pytest.mark.parametrize("cuts", [[3, 6], [4], [1, 2, 8], []])
def test_a_stream_is_its_pieces_put_together(tmp_path: Path, cuts: list[int], place: str | None) -> None:
    stored = ZarrDataset(filepath=f"{place or tmp_path}/{len(cuts)}.zarr", append="lead")
    full = forecasts()
    for part in pieces(full, cuts):
        assert not stored.exists()
        stored.save(part)
    xr.testing.assert_identical(stored.load(), full)


def test_later_pieces_may_hold_longer_words(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="case")
    texts = ["ran", "stations", "blocks"]
    for i, word in enumerate(texts):
        stored.save(
            xr.Dataset({"z": ("case", [i])}, {"pattern": ("case", [word])}, {"piece": i, "pieces": 3})
        )
    assert stored.load()["pattern"].values.tolist() == texts and stored.load()["pattern"].dtype.kind == "U"


def test_a_broken_stream_leaves_what_was_there_and_starts_afresh(tmp_path: Path) -> None:
    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    full = forecasts()
    stored.save(full)
    for part in list(pieces(full * 2, [3, 6]))[:2]:
        stored.save(part)
    xr.testing.assert_identical(stored.load(), full)
    with xr.set_options(keep_attrs=True):
        for part in pieces(full * 3, [5]):
            stored.save(part)
        xr.testing.assert_identical(stored.load(), full * 3)
    assert leftovers(tmp_path) == []


def test_pieces_out_of_place_are_refused(tmp_path: Path) -> None:
    second = list(pieces(forecasts(), [3]))[1]
    with pytest.raises(DatasetError, match="is given piece 1 of a stream without its start"):
        ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead").save(second)
    with pytest.raises(DatasetError, match="its catalog entry needs 'append'"):
        ZarrDataset(filepath=str(tmp_path / "b.zarr")).save(second)


def test_a_generator_node_streams_through_the_catalog(tmp_path: Path) -> None:
    full = forecasts()

    def roll() -> Iterator[xr.Dataset]:
        yield from pieces(full, [2, 5])

    stored = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    SequentialRunner().run(Pipeline([node(roll, None, "forecasts")]), DataCatalog({"forecasts": stored}))
    xr.testing.assert_identical(stored.load(), full)


# --- Zarr: readers, kills, full disks


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


def full_disk(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_sentence_and_harms_nothing(
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


# --- files


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


def test_a_preview_may_show_chosen_rows_in_order(tmp_path: Path) -> None:
    table = TableDataset(filepath=str(tmp_path / "a.csv"))
    table.save(
        pd.DataFrame(
            {"score": ["rmse", "crps", "crps", "crps"], "k": [0.1, 0.1, 0.5, 0.1], "v": [0, 3, 2, 1]}
        )
    )
    preview = table.preview(where={"score": ["crps"], "k": [0.1], "region": ["globe"]}, sort="v")
    assert preview["data"] == [["crps", 0.1, 1], ["crps", 0.1, 3]]
    assert table.preview(nrows=2, sort="absent")["data"] == [["rmse", 0.1, 0], ["crps", 0.1, 3]]


def test_a_folder_without_pictures_has_been_written(tmp_path: Path) -> None:
    """Otherwise `--only-missing-outputs` would draw figures of what nobody has run each time."""
    stored = PicturesDataset(path=str(tmp_path / "figures"))
    assert not stored.exists() and stored.load() == {}
    stored.save({})
    assert stored.exists() and stored.load() == {}


def test_each_picture_of_a_folder_has_its_preview(tmp_path: Path) -> None:
    """All pictures once stood on one contact sheet, too small to read."""
    stored = PicturesDataset(path=str(tmp_path / "figures"))
    colours = {"c": (0, 0, 255), "a": (255, 0, 0), "b": (0, 255, 0)}
    stored.save({"of a run before": b""})
    contents = {name: io.BytesIO() for name in colours}
    for name, colour in colours.items():
        Image.new("RGB", (90, 30 if name == "b" else 60), colour).save(contents[name], "PNG")
    stored.save({name: content.getvalue() for name, content in contents.items()})
    assert {name: load()[:4] for name, load in stored.load().items()} == dict.fromkeys("abc", b"\x89PNG")
    displayed = re.findall(
        r"<figcaption>(.)</figcaption><img [^>]*src=\"data:image/png;base64,([^\"]*)\">", stored.preview()
    )
    assert [name for name, _ in displayed] == ["a", "b", "c"]
    assert {name: base64.b64decode(content) for name, content in displayed} == {
        name: content.getvalue() for name, content in contents.items()
    }
    assert PicturesDataset.preview.__annotations__["return"].__name__ == "HTMLPreview"
    stored.save({"maps_random_10": contents["a"].getvalue()})
    assert "_" not in stored.preview()  # Markdown to kedro-viz, which would tear the element apart


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


def test_nothing_of_the_rest_of_the_package_is_imported() -> None:
    folder = Path(str(sys.modules[ZarrDataset.__module__].__file__)).parent
    trees = [ast.parse(file.read_text()) for file in folder.glob("*.py")]
    walked = [item for tree in trees for item in ast.walk(tree)]
    names = [alias.name for item in walked if isinstance(item, ast.Import) for alias in item.names]
    names += [f"{'.' * item.level}{item.module}" for item in walked if isinstance(item, ast.ImportFrom)]
    package = "fieldcast.datasets"
    assert "kedro.io.core" in names
    assert not [
        name for name in names if name.startswith((".", "fieldcast")) and not name.startswith(package)
    ]


# --- NetCDF and folders


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


# --- Zarr: streams that were interrupted


def piece(number: int, value: float, pieces: int = 4) -> xr.Dataset:
    data = xr.Dataset({"z": (("lead", "x"), np.full((1, 3), value, "f4"))}, {"lead": [float(number)]})
    return data.assign_attrs(piece=number, pieces=pieces)


def test_an_interrupted_stream_resumes_at_any_of_its_pieces(tmp_path: Path) -> None:
    path = str(tmp_path / "a.zarr")
    stream = ZarrDataset(filepath=path, append="lead")
    assert stream.unfinished() == 0
    for number in range(3):
        stream.save(piece(number, number))
    assert stream.unfinished() == 3 and not stream.exists()
    for number in (1, 2, 3):
        stream.save(piece(number, 10 * number))
    assert stream.load()["z"].values[:, 0].tolist() == [0, 10, 20, 30]
    assert stream.load()["lead"].values.tolist() == [0, 1, 2, 3] and stream.unfinished() == 0


def test_half_a_piece_does_not_count(tmp_path: Path) -> None:
    """A kill while one of several variables is written: what is complete is resumed, and the half piece replaced."""
    stream = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    both = [piece(number, number).assign(y=piece(number, 0)["z"]) for number in range(4)]
    for number in range(3):
        stream.save(both[number])
    store = zarr.open_group(str(tmp_path / "a.zarr.partial"), mode="r+")
    store["z"].resize((4, 3))  # of piece 3, whose other variable is still as long as before
    assert stream.unfinished() == 3
    for number in (2, 3):
        stream.save(both[number])
    assert stream.load()["z"].values[:, 0].tolist() == [0, 1, 2, 3] and stream.load()["y"].shape == (4, 3)


def test_a_stream_that_starts_anew_forgets_the_pieces_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    for number in range(3):
        stream.save(piece(number, number))
    monkeypatch.setattr(zarr_store, "evenly_chunked", None)  # as if killed while piece 0 is written
    with pytest.raises(DatasetError):
        stream.save(piece(0, 5))
    assert stream.unfinished() == 0


def test_a_finished_stream_leaves_no_record_of_its_pieces(tmp_path: Path) -> None:
    stream = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    for number in range(4):
        stream.save(piece(number, number))
    assert leftovers(tmp_path) == [] and [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_no_bytes_are_no_file(tmp_path: Path) -> None:
    stored = BytesDataset(filepath=str(tmp_path / "a"), missing="none")
    stored.save(b"x")
    stored.save(b"")
    assert stored.load() is None and not stored.exists()


def test_a_piece_after_a_missing_one_is_refused(tmp_path: Path) -> None:
    stream = ZarrDataset(filepath=str(tmp_path / "a.zarr"), append="lead")
    stream.save(piece(0, 0))
    with pytest.raises(DatasetError, match="lacks a piece"):
        stream.save(piece(2, 0))


# --- data sets that resume, and results of earlier runs


@pytest.mark.parametrize("place", [None, "memory:///resumed"])
def test_data_and_their_state_are_saved_as_a_pair(tmp_path: Path, place: str | None) -> None:
    root = place or str(tmp_path)
    inner = {"type": ZarrDataset, "filepath": f"{root}/a.zarr", "append": "lead"}
    stream = ResumableDataset(dataset=inner, state=f"{root}/state")
    assert stream.earlier() == (0, None, None) and not stream.exists()
    stream.save((piece(0, 0, pieces=2), b"after 0"))
    assert stream.earlier() == (1, b"after 0", None) and not stream.exists()
    stream.save((piece(1, 1, pieces=2), b"after 1"))
    assert stream.exists() and stream.load()["z"].values[:, 0].tolist() == [0, 1]
    pieces, state, data = stream.earlier()
    assert (pieces, state) == (0, b"after 1") and data.identical(stream.load())
    after = piece(0, 0).isel(lead=slice(0)).assign_attrs(piece=2, pieces=2)
    stream.save((after, b"still"))  # nothing new: the store stays as it is
    assert stream.earlier()[:2] == (0, b"still") and stream.load().identical(data)


def test_a_state_is_saved_after_its_data(tmp_path: Path) -> None:
    """A state that counts on data which were never written would leave a hole in them."""
    (tmp_path / "a").mkdir()  # where the data cannot be written
    inner = {"type": BytesDataset, "filepath": str(tmp_path / "a")}
    stored = ResumableDataset(dataset=inner, state=str(tmp_path / "state"))
    with pytest.raises(DatasetError):
        stored.save((b"data", b"state"))
    assert stored.earlier() == (0, None, None)


@pytest.mark.parametrize("place", [None, "memory:///results"])
def test_results_of_earlier_runs_are_read_on_demand(tmp_path: Path, place: str | None) -> None:
    root = place or str(tmp_path)
    results = ResultsDataset(filepath=root, task="forecast")
    assert results.load() == {}
    for folder, value in (("forecast/vae", 1), ("forecast/lim", 2), ("sample/vae", 3)):
        table = TableDataset(filepath=f"{root}/08_reporting/{folder}/scores.parquet")
        table.save(pd.DataFrame({"value": [value]}))
    BytesDataset(filepath=f"{root}/08_reporting/forecast/vae/scores.csv.partial").save(b"half")
    TableDataset(filepath=f"{root}/06_models/forecast/vae/history.csv").save(pd.DataFrame({"step": [7]}))
    JSONDataset(filepath=f"{root}/04_feature/starts.json").save({"members": 3})
    left = results.load()
    assert left.keys() == {"scores", "history", "starts"} and left["starts"]() == {"members": 3}
    assert {name: read()["value"][0] for name, read in left["scores"].items()} == {"vae": 1, "lim": 2}
    assert left["history"]["vae"]()["step"][0] == 7
    with pytest.raises(DatasetError, match="is read only here"):
        results.save({"scores": {}})


def test_a_digest_that_looks_like_a_number_stays_one(tmp_path: Path) -> None:
    """48213e905716 was read as infinity, and a leading zero was lost: the table then seemed to be of another model."""
    table = TableDataset(filepath=str(tmp_path / "a.csv"))
    written = pd.DataFrame({"model": ["48213e905716", "012345678901"], "value": [0.1 + 0.2, 1e-17 / 3]})
    table.save(written)
    pd.testing.assert_frame_equal(table.load(), written, check_exact=True)


# --- in Kedro: every runner, every kind of place, and the catalog as a file


def test_memory_is_handed_on_without_a_copy_and_between_processes() -> None:
    table, handed = pd.DataFrame({"value": [1]}), InMemoryDataset(metadata={"kedro-viz": {"layer": "models"}})
    handed.save({"scores": table})
    assert handed.load()["scores"] is table and handed.metadata and handed._EPHEMERAL
    handed.release()
    assert not handed.exists()
    with pytest.raises(DatasetError, match="has not been saved yet"):
        handed.load()
    runner = ParallelRunner(max_workers=1)
    catalog = SharedMemoryDataCatalog({"a": InMemoryDataset(), "b": InMemoryDataset()})
    created = Pipeline([node(os.getpid, None, "a", name="one"), node(abs, "a", "b", name="two")])
    assert runner.run(created, catalog)["b"].load() not in (0, os.getpid())


@pytest.mark.parametrize(
    ("root", "shown"),
    [("memory:///here", "memory:///here"), ("s3://bucket/x", "s3://bucket/x"), ("/folder/x", "/folder/x")],
)
def test_a_location_keeps_its_protocol(root: str, shown: str) -> None:
    assert TextDataset(filepath=f"{root}/report.html").location == f"{shown}/report.html"


def test_the_configuration_of_a_data_set_makes_it_again(tmp_path: Path) -> None:
    """`kedro catalog resolve-patterns` prints it."""
    settings = {"filepath": f"{tmp_path}/a.csv", "missing": "empty", "load_args": {"nrows": 3}}
    bytes_of = {"type": "fieldcast.datasets.BytesDataset", "filepath": f"{tmp_path}/b"}
    for config in (
        {"type": "fieldcast.datasets.TableDataset", **settings},
        {"type": "fieldcast.datasets.ResumableDataset", "dataset": bytes_of, "state": f"{tmp_path}/c"},
        {"type": "fieldcast.datasets.PicturesDataset", "path": f"{tmp_path}/figures", "load_args": {}},
        {"type": "fieldcast.datasets.ZarrDataset", "filepath": f"{tmp_path}/d.zarr", "append": "lead"},
        {"type": "fieldcast.datasets.InMemoryDataset"},
    ):
        created = AbstractDataset.from_config("a", {**config, "metadata": {"optional": True}})
        printed = yaml.safe_load(yaml.safe_dump(created._init_config()))
        again = AbstractDataset.from_config("a", dict(printed))
        assert again._describe() == created._describe() and type(again) is type(created)
        assert {"settings", "metadata"}.isdisjoint(printed)
        assert all(printed[key] == value for key, value in config.items() if key != "type")


def test_credentials_reach_what_lies_within(tmp_path: Path) -> None:
    credentials = {"auto_mkdir": True}
    inner = {"type": BytesDataset, "filepath": f"{tmp_path}/a"}
    stored = ResumableDataset(dataset=inner, state=f"{tmp_path}/b", credentials=credentials)
    assert stored._dataset._fs_args == stored._state._fs_args == credentials
    assert ResultsDataset(filepath=str(tmp_path), task="a", credentials=credentials)._fs_args == credentials
    pictures = PicturesDataset(path=str(tmp_path), credentials=credentials)
    assert pictures._credentials == credentials
