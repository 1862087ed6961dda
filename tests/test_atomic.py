"""A file is replaced as a whole or not at all."""

import errno
import os
import stat

import pytest

from fieldcast.arguments import refuse_unwritable, write_named
from fieldcast.atomic import write_atomically
from fieldcast.errors import InputError


def test_a_file_is_replaced_and_its_folder_made(tmp_path):
    file = tmp_path / "new" / "model.safetensors"
    for content in (b"first", b"second"):
        write_atomically(file, content)
        assert file.read_bytes() == content
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_full_disk_leaves_the_earlier_file_and_nothing_beside_it(tmp_path, monkeypatch):
    file = tmp_path / "model.safetensors"
    write_atomically(file, b"first")

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(file, b"second")
    assert file.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [file]


def test_a_pipe_and_a_folder_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "pipe"), (tmp_path, "folder")):
        with pytest.raises(InputError, match=f"is a {kind}, not a file: name a file"):
            write_named(str(path), b"x")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode) and len(list(tmp_path.iterdir())) == 1


def test_outputs_that_cannot_be_written_are_refused_by_the_name_of_their_option(tmp_path, monkeypatch):
    file = tmp_path / "good.nc"
    file.write_bytes(b"good")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("good.nc", "new.nc", "new/folder/a.nc"):
        refuse_unwritable(tmp_path / name, "fill.output")
    for name, cause in (
        (".", "is a folder, not a file: name a file"),
        ("pipe", "is a pipe, not a file: name a file"),
        ("link", "is a pipe, not a file"),
        ("x" * 300, "is too long a name for this file system: shorten it"),
        ("a\0b", "holds a character that no name may have"),
        ("good.nc/x", "good.nc' is not a folder"),
    ):
        with pytest.raises(InputError, match=rf"^fill.output '.*{cause}"):
            refuse_unwritable(tmp_path / name, "fill.output")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match=r"the folder .* does not permit it.: name a file in another folder"):
        refuse_unwritable(file, "fill.output")
