"""The local file system with files that appear whole or not at all: `atomic://` in fsspec, and so in every data set."""

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileOpener, LocalFileSystem
from kedro.io.core import DatasetError
from kedro.utils import find_kedro_project

from fieldcast.atomic import flush, publish

PROTOCOL = "atomic"
PARALLEL_FLUSHES = 16  # simultaneous flushes: the file system combines them, in a twentieth of the time
CLOCK_RESOLUTION = 2.0  # coarsest resolution, in seconds, of the modification times of files


class AtomicFileSystem(LocalFileSystem):
    """The local file system, where a file that is written replaces the earlier one when it is closed.

    An error while it is open, an interruption or a kill leaves the earlier file. An error of the operating system
    becomes a DatasetError of one sentence.
    """

    protocol = PROTOCOL

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> Any:
        path = self._strip_protocol(path)
        if "r" in mode and "+" not in mode:
            return super()._open(path, mode, block_size, **options)
        if "a" in mode or "+" in mode:
            raise NotImplementedError(
                f"a file of {PROTOCOL}:// is written as a whole, not in the mode '{mode}'"
            )
        with readable_write_errors(path):
            self.makedirs(os.path.dirname(path), exist_ok=True)
            return AtomicFile(path, mode, fs=self, **options)


class AtomicFile(LocalFileOpener):
    """A file that is written as `<name>.partial`, and takes its place when it is closed without an error."""

    def __init__(self, path: str, mode: str, **options: Any) -> None:
        """path: its place; the others are those of fsspec."""
        self.place, self.handled = path, sys.exception()  # an error that was there before does not count
        super().__init__(f"{path}.partial", mode, **options)

    def write(self, *content: Any) -> Any:
        """Write as any file does; an error of the operating system becomes a sentence."""
        with readable_write_errors(self.place):
            return super().write(*content)

    def close(self) -> None:
        """Flush the file to the disk and rename it, or remove it if its content is not whole."""
        if self.closed:
            return
        whole = sys.exception() is self.handled
        with readable_write_errors(self.place):
            try:
                super().close()
                if whole:
                    publish(self.path, self.place)
            finally:
                if os.path.exists(self.path):  # not whole, or not written to its end
                    os.remove(self.path)

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if self.f is not None and not self.closed:  # nobody has closed it, so nobody knows that it is whole
            self.f.close()
            os.remove(self.path)


def in_project(root: str) -> str:
    """The address of a data root: a folder, relative to the project, on the file system above; any other as it is.

    A resolver of the configuration: Kedro does not complete the path of an address.
    """
    if "://" in root and not root.startswith("file://"):
        return root
    root = root.removeprefix("file://")
    if {"#", "?"} & set(root):
        raise DatasetError(
            f"data_root = {root}: '#' and '?' have a meaning in addresses: name another folder."
        )
    return f"{PROTOCOL}://{(find_kedro_project(Path.cwd()) or Path.cwd()) / root}"


@contextmanager
def readable_write_errors(path: str) -> Iterator[None]:
    """Turn an operating system's error of a write into a DatasetError of one sentence."""
    try:
        yield
    except OSError as error:
        cause = os.strerror(error.errno) if error.errno else str(error)
        remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the folder"
        raise DatasetError(
            f"'{path}' could not be written ({cause}): {remedy}, or choose another data_root or output; "
            "the previous file is unchanged"
        ) from error


def publish_folder(partial: str, path: str) -> None:
    """Flush a folder with its files to the disk, and put it in the place of another.

    Between the two renames the old folder is `<name>.old`, where `readable_folder` finds it after a kill.
    """
    old = f"{path}.old"
    flush_folder(partial)
    if os.path.exists(path):
        shutil.rmtree(old, ignore_errors=True)  # of a kill after both renames
        os.rename(path, old)
    os.rename(partial, path)
    flush(os.path.dirname(path) or ".")
    shutil.rmtree(old, ignore_errors=True)


def readable_folder(path: str) -> str:
    """The path from which to read a folder: its own, or where a kill between the two renames has left it."""
    return f"{path}.old" if os.path.exists(f"{path}.old") and not os.path.exists(path) else path


def flush_folder(folder: str, since: float = 0.0) -> None:
    """Flush a folder and its content to the disk, so that they survive a loss of power.

    Files that were last changed before the time `since`, in seconds of `time.time`, are on the disk already.
    """
    paths = [
        os.path.join(directory, file) for directory, _, files in os.walk(folder) for file in (*files, "")
    ]
    paths = [path for path in paths if os.stat(path).st_mtime >= since - CLOCK_RESOLUTION]
    with ThreadPoolExecutor(PARALLEL_FLUSHES) as pool:
        for _ in pool.map(flush, paths):
            pass  # re-raises the error of any of them


fsspec.register_implementation(PROTOCOL, AtomicFileSystem, clobber=True)
