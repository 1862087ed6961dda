"""Files of `atomic://` hold what was saved, completely or not at all, whatever data set of Kedro writes them."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from kedro.io.core import DatasetError
from matplotlib.figure import Figure
from stores import dataset, full_disk, leftovers

from fieldcast.datasets.atomic import in_project
from fieldcast.datasets.base import location

DATA = {
    "bytes": b"\0\xff",
    "text": "<p>Grüße\r\n</p>",
    "json": {"a": [1, None, "é"], "b": 0.1},
    "csv": pd.DataFrame({"a": [1]}),
    "parquet": pd.DataFrame({"a": [1]}),
}


def same(first: Any, second: Any) -> bool:
    return first.equals(second) if isinstance(first, pd.DataFrame) else first == second


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("place", ["memory://", None])
def test_files_round_trip(tmp_path: Path, kind: str, place: str | None) -> None:
    stored = dataset(kind, f"{place or tmp_path}/x/a")
    stored.save(DATA[kind])
    assert stored.exists() and same(stored.load(), DATA[kind]) and leftovers(tmp_path) == []
    assert same(pickle.loads(pickle.dumps(stored)).load(), DATA[kind])


@pytest.mark.parametrize("kind", DATA)
def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    stored = dataset(kind, tmp_path / "a")
    stored.save(DATA[kind])
    before = (tmp_path / "a").read_bytes()

    def killed(*paths: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        stored.save(DATA[kind])
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == before and leftovers(tmp_path) == []


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_half_of_a_file_is_not_published(tmp_path: Path, mode: str) -> None:
    """An error within the `with` of a data set, where fsspec would close the file as if it were whole."""
    files = fsspec.filesystem("atomic")
    half: Any = "half" if mode == "w" else b"half"
    (tmp_path / "a").write_text("old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), files.open(str(tmp_path / "a"), mode) as file:
            file.write(half)
            raise error
        assert (tmp_path / "a").read_text() == "old" and leftovers(tmp_path) == []
    try:
        raise ValueError
    except ValueError:  # an error that is being handled is not one of this file
        with files.open(str(tmp_path / "a"), mode) as file:
            file.write(half)
    assert (tmp_path / "a").read_text() == "half"


def test_a_file_that_nobody_closes_is_not_published(tmp_path: Path) -> None:
    file = fsspec.filesystem("atomic").open(str(tmp_path / "a"), "wb")
    file.write(b"half")
    del file
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys, os, signal, json, fsspec
with fsspec.open(f"atomic://{sys.argv[1]}/a", "w") as file:
    json.dump(list(range(100_000)), file)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    stored = dataset("json", tmp_path / "a")
    stored.save(["old"])
    program = f"import fieldcast.datasets\n{WRITER}"
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == -9
    assert stored.load() == ["old"] and leftovers(tmp_path) == ["a.partial"]
    stored.save(["new"])
    assert json.loads((tmp_path / "a").read_text()) == ["new"] and leftovers(tmp_path) == []


@pytest.mark.parametrize("kind", DATA)
def test_a_full_disk_is_one_sentence_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    stored = dataset(kind, tmp_path / "a")
    stored.save(DATA[kind])
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DatasetError) as caught:
        stored.save(DATA[kind])
    sentence = str(caught.value)
    assert f"'{tmp_path}/a' could not be written (No space left on device): free some space" in sentence
    assert "\n" not in sentence and same(stored.load(), DATA[kind]) and leftovers(tmp_path) == []


def test_a_folder_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a", tmp_path):
        with pytest.raises(
            DatasetError, match=r"could not be written \(.*\): check the folder, or choose"
        ) as caught:
            dataset("text", path).save("")
        assert "\n" not in str(caught.value)


def test_files_are_not_appended_to(tmp_path: Path) -> None:
    for mode in ("ab", "rb+"):
        with pytest.raises(NotImplementedError, match="is written as a whole"):
            fsspec.filesystem("atomic").open(str(tmp_path / "a"), mode)


def test_figures_are_files_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = dataset("text", tmp_path / "a.png")
    drawn = type(stored).from_config(
        "drawn", {"type": "matplotlib.MatplotlibDataset", "filepath": f"atomic://{tmp_path}/a.png"}
    )
    drawn.save(Figure())
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("root", "address"),
    [
        ("data", "atomic://{here}/data"),
        ("/elsewhere/data", "atomic:///elsewhere/data"),
        ("file:///elsewhere/data", "atomic:///elsewhere/data"),
        ("s3://bucket/run", "s3://bucket/run"),
        ("memory://run", "memory://run"),
    ],
)
def test_a_data_root_is_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_project(root) == address.format(here=tmp_path)


def test_a_data_root_belongs_to_the_project_that_the_working_folder_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert in_project("data") == f"atomic://{tmp_path}/data"


def test_a_data_root_that_an_address_cannot_hold_is_refused() -> None:
    for root in ("a#b", "/a?b"):
        with pytest.raises(DatasetError, match=f"data_root = .*{root[-1]}: '#' and '.' have a meaning"):
            in_project(root)


@pytest.mark.parametrize(
    ("root", "place"),
    [
        ("memory:///here", "memory:///here"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("atomic:///folder/x", "/folder/x"),
        ("/folder/x", "/folder/x"),
    ],
)
def test_a_location_keeps_the_protocol_of_an_address(root: str, place: str) -> None:
    assert location(dataset("text", f"{root}/report.html")) == f"{place}/report.html"


def test_errors_without_a_number_are_named_by_their_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*paths: str) -> None:
        raise OSError("a stale handle")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(DatasetError, match=r"could not be written \(a stale handle\)"):
        dataset("text", tmp_path / "a").save("")


def test_no_bytes_are_no_file(tmp_path: Path) -> None:
    stored = dataset("bytes", tmp_path / "a")
    for content in (b"", b"x", b""):
        stored.save(content)
        assert stored.exists() is bool(content)
