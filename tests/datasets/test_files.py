"""Files hold what was saved, completely or not at all: text, JSON, bytes."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kedro.io.core import DatasetError
from stores import leftovers

from fieldcast.datasets import (
    BytesDataset,
    JSONDataset,
    TextDataset,
)


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


def test_missing_files(tmp_path: Path) -> None:
    assert BytesDataset(filepath=str(tmp_path / "a"), missing="none").load() is None
    assert JSONDataset(filepath=str(tmp_path / "a"), missing="none").load() is None
    for kind in (BytesDataset, JSONDataset, TextDataset):
        with pytest.raises(DatasetError, match="does not exist: run the stage"):
            kind(filepath=str(tmp_path / "a")).load()


def test_json_has_a_preview(tmp_path: Path) -> None:
    saved = JSONDataset(filepath=str(tmp_path / "a.json"))
    saved.save({"a": 1})
    assert saved.preview() == '{"a": 1}'
