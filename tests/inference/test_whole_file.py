"""A file is replaced as a whole or not at all."""

import errno
from pathlib import Path

import pytest

from fieldcast.inference.whole_file import write_whole


def test_a_file_is_replaced_and_its_folder_made(tmp_path):
    file = tmp_path / "new" / "model.safetensors"
    for content in (b"first", b"second"):
        write_whole(file, content)
        assert file.read_bytes() == content
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_full_disk_leaves_the_earlier_file_and_nothing_beside_it(tmp_path, monkeypatch):
    file = tmp_path / "model.safetensors"
    write_whole(file, b"first")

    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as opened:
            opened.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="no space left"):
        write_whole(file, b"second")
    assert file.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [file]
