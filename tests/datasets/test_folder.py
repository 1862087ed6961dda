"""A folder lists files that other data sets have written."""

from pathlib import Path

import pytest
from kedro.io.core import DatasetError

from fieldcast.datasets import (
    BytesDataset,
    FolderDataset,
)


@pytest.mark.parametrize("place", [None, "memory:///folder"])
def test_a_folder_lists_its_files_and_reads_them_on_demand(tmp_path: Path, place: str | None) -> None:
    root = place or str(tmp_path / "models")
    folder = FolderDataset(filepath=root, name="a.bin")
    assert folder.load() == {} and not folder.exists()
    for path in ("x/y/a.bin", "x/z/a.bin", "x/z/other-a.bin", "x/z/a.bin.partial"):
        BytesDataset(filepath=f"{root}/{path}").save(path.encode())
    readers = folder.load()
    assert {name: read() for name, read in readers.items()} == {"x/y": b"x/y/a.bin", "x/z": b"x/z/a.bin"}
    with pytest.raises(DatasetError, match="cannot be saved as a whole"):
        folder.save(b"")
