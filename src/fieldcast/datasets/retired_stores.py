"""Replace local Zarr stores in one step, while lazy arrays of this process may still read the old ones."""

from __future__ import annotations

import os
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from uuid import uuid4

from fieldcast.atomic import flush

if TYPE_CHECKING:
    from fieldcast.datasets.checked import CheckedStore

PARALLEL_FLUSHES = (
    16  # number of simultaneous flushes: the file system combines them, in a twentieth of the time
)
CLOCK_RESOLUTION = 2.0  # coarsest resolution, in seconds, of the modification times of files
READERS: dict[str, list[weakref.ref[CheckedStore]]] = {}  # lazily opened stores of this process, by path


def readable_path(path: PurePosixPath) -> Path:
    """Path from which to read a store: its own, or the one where a kill between two renames has left it.

    Nothing is moved: another process may be between those renames just now.
    """
    if os.path.exists(path):
        return Path(path)
    try:
        return max(_aside(path), key=lambda old: old.stat().st_ctime_ns, default=Path(path))
    except FileNotFoundError:  # the writer has just put the new store in its place, and removed the old one
        return Path(path)


def open_store(path: PurePosixPath) -> CheckedStore:
    """Open a store for lazy reading, and register the reader: it follows the store when that is moved aside."""
    from fieldcast.datasets.checked import CheckedStore  # here: zarr takes half a second to import

    store = CheckedStore(readable_path(path))
    READERS[str(path)] = [*map(weakref.ref, _readers(path)), weakref.ref(store)]
    return store


def recover(path: PurePosixPath) -> None:
    """Put the old store back if a run was killed between the two renames; only for a process about to write."""
    old = readable_path(path)
    if old != Path(path):
        _move(old, Path(path), _readers(path))


def publish(partial: str, path: PurePosixPath) -> None:
    """Replace the old store by a finished one; the old one is removed when its last reader is gone."""
    old = path.with_name(f"{path.name}.old-{os.getpid()}-{uuid4().hex[:8]}")
    readers = _readers(path)
    READERS.pop(str(path), None)
    flush_all(partial)
    if os.path.exists(path):
        _move(Path(path), Path(old), readers)
    os.rename(partial, path)
    flush(str(path.parent))
    _remove_after(Path(old), readers)
    _sweep(path)


def flush_all(folder: str, since: float = 0.0) -> None:
    """Flush a folder and its content to the disk, so that it survives a loss of power.

    Files that were last changed before the time `since`, in seconds of `time.time`, are on the disk already.
    """
    paths = [
        os.path.join(directory, file) for directory, _, files in os.walk(folder) for file in (*files, "")
    ]
    paths = [path for path in paths if os.stat(path).st_mtime >= since - CLOCK_RESOLUTION]
    with ThreadPoolExecutor(PARALLEL_FLUSHES) as pool:
        for _ in pool.map(flush, paths):
            pass  # re-raises the error of any of them


def _readers(path: PurePosixPath) -> list[CheckedStore]:
    return [reader for reference in READERS.get(str(path), []) if (reader := reference()) is not None]


def _aside(path: PurePosixPath) -> list[Path]:
    return list(Path(path.parent).glob(f"{path.name}.old-*"))


def _move(source: Path, to: Path, readers: list[CheckedStore]) -> None:
    os.rename(source, to)
    for reader in readers:
        if reader.root == source:
            reader.root = to


def _remove_after(old: Path, readers: list[CheckedStore]) -> None:
    """Remove a folder when its last reader is gone, at the latest when Python ends."""
    if not old.exists():
        return
    if not readers:
        shutil.rmtree(old)
        return
    open_readers, owner = {id(reader) for reader in readers}, os.getpid()

    def gone(number: int) -> None:
        open_readers.discard(number)
        if (
            not open_readers and os.getpid() == owner
        ):  # a forked child leaves it to its parent, which may still read
            shutil.rmtree(old, ignore_errors=True)

    for reader in readers:
        weakref.finalize(reader, gone, id(reader))


def _sweep(path: PurePosixPath) -> None:
    """Remove what killed processes have left behind."""
    for old in _aside(path):
        try:
            os.kill(int(old.name.split("-")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(old, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # a living process of another user, or not a store of this package
