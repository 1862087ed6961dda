"""Local Zarr stores that are replaced in one step, while others of this process may still read the old one lazily."""

import os
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from uuid import uuid4

from fieldcast.datasets.checked import CheckedStore

FLUSHES = 16  # at the same time: a file system writes them down together, in a twentieth of the time
READERS: dict[str, list["weakref.ref[CheckedStore]"]] = {}  # lazily opened stores of this process, by path


def standing(path: PurePosixPath) -> Path:
    """Where a store is to be read: in its place, or where a kill between two renames has left it.

    Nothing is moved: another process may be in the midst of those renames.
    """
    if os.path.exists(path):
        return Path(path)
    return max(_aside(path), key=lambda old: old.stat().st_ctime_ns, default=Path(path))


def opened(path: PurePosixPath) -> CheckedStore:
    """The store to read lazily; it is remembered, to be pointed elsewhere when the store is moved."""
    store = CheckedStore(standing(path))
    READERS[str(path)] = [*map(weakref.ref, _readers(path)), weakref.ref(store)]
    return store


def recover(path: PurePosixPath) -> None:
    """Put the old store back if a kill fell between the two renames; only who is about to write may do this."""
    old = standing(path)
    if old != Path(path):
        _move(old, Path(path), _readers(path))


def publish(partial: str, path: PurePosixPath) -> None:
    """Put a finished store in the place of the old one, which is removed when its last reader is gone."""
    old = path.with_name(f"{path.name}.old-{os.getpid()}-{uuid4().hex[:8]}")
    readers = _readers(path)
    READERS.pop(str(path), None)
    settle(partial)
    if os.path.exists(path):
        _move(Path(path), Path(old), readers)
    os.rename(partial, path)
    settle(str(path.parent), deep=False)
    _remove_after(Path(old), readers)
    _sweep(path)


def settle(folder: str, deep: bool = True) -> None:
    """Make sure that a folder, and if deep all that it holds, is on the disk: it is to outlast a loss of power."""
    walk = list(os.walk(folder)) if deep else [(folder, [], [])]
    paths = [os.path.join(place, file) for place, _, files in walk for file in (*files, "")]
    with ThreadPoolExecutor(FLUSHES) as pool:
        for _ in pool.map(_flush, paths):
            pass  # raises what one of them has raised


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _readers(path: PurePosixPath) -> list[CheckedStore]:
    return [reader for known in READERS.get(str(path), []) if (reader := known()) is not None]


def _aside(path: PurePosixPath) -> list[Path]:
    return list(Path(path.parent).glob(f"{path.name}.old-*"))


def _move(place: Path, to: Path, readers: list[CheckedStore]) -> None:
    os.rename(place, to)
    for reader in readers:
        if reader.root == place:
            reader.root = to


def _remove_after(old: Path, readers: list[CheckedStore]) -> None:
    """Removes a folder when its last reader is gone, at the latest when Python ends."""
    if not old.exists():
        return
    if not readers:
        shutil.rmtree(old)
        return
    left, owner = {id(reader) for reader in readers}, os.getpid()

    def gone(number: int) -> None:
        left.discard(number)
        if not left and os.getpid() == owner:  # not in a forked child, whose parent may read on
            shutil.rmtree(old, ignore_errors=True)

    for reader in readers:
        weakref.finalize(reader, gone, id(reader))


def _sweep(path: PurePosixPath) -> None:
    """Removes what processes that were killed have left behind."""
    for old in _aside(path):
        try:
            os.kill(int(old.name.split("-")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(old, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # another user's living process, or no store of ours
