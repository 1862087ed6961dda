"""Conditions under which data are recreated: the lineage follows the files that a path names."""

import os
from pathlib import Path

import pytest

from fieldcast.fields.options import Ingestion


def touched(file: Path) -> None:
    """Change the modification time, as a new write would."""
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("path", ["{folder}/a.nc", "{folder}/*.nc", "~/a.nc"])
def test_a_file_that_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "a.nc"
    file.write_bytes(b"field")
    options = Ingestion(source="file", path=path.format(folder=tmp_path))
    before = options.lineage()
    assert options.lineage() == before
    touched(file)
    assert options.lineage() != before


@pytest.mark.parametrize("name", [".zmetadata", "t2m/0.0.0"])
def test_a_store_of_which_a_part_changed_is_read_again(tmp_path: Path, name: str) -> None:
    part = tmp_path / "store.zarr" / name
    part.parent.mkdir(parents=True)
    part.write_bytes(b"part")
    options = Ingestion(source="file", path=str(tmp_path / "store.zarr"))
    before = options.lineage()
    touched(part)
    assert options.lineage() != before


def test_a_remote_store_is_recognised_by_its_address() -> None:
    here, there = (Ingestion(source="file", path=f"gs://{name}/store.zarr").lineage() for name in "ab")
    assert here != there


def test_a_planet_with_another_rounding_is_recreated(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Ingestion().lineage()
    assert Ingestion().lineage() == before
    monkeypatch.setattr("fieldcast.fields.options.STATE_STEP", 2.0**-20)
    assert Ingestion().lineage() != before
