"""Conditions under which data are recreated: the lineage follows the files that a path names."""

import os
from pathlib import Path

import pytest

from fieldcast.errors import InputError
from fieldcast.fields.options import Ingestion, refuse_other_data


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


@pytest.mark.parametrize(
    ("needs", "source", "sentence"),
    [
        (
            "images",
            "planet",
            "report_001 needs images, but ingestion.source = 'planet' provides fields: .*--env digits",
        ),
        (
            "labels",
            "file",
            "report_001 needs labels, but ingestion.source = 'file' provides fields: .*--env digits",
        ),
        ("fields", "images", "report_001 needs fields, but .* provides images and labels: .* --env demo"),
        ("fields", "planet", ""),
        ("fields", "a_package's", ""),
        ("labels", "images", ""),
        (None, "planet", ""),
    ],
)
def test_what_needs_other_data_is_refused_in_one_sentence(
    needs: str | None, source: str, sentence: str
) -> None:
    if sentence:
        with pytest.raises(InputError, match=sentence):
            refuse_other_data("report_001", needs, source)
    else:
        refuse_other_data("report_001", needs, source)
