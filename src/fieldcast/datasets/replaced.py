"""The store that a new one took the place of: kept while somebody in this process still reads it lazily."""

import os
import shutil
import weakref
from pathlib import Path, PurePosixPath

from zarr.storage import LocalStore


def remove_after(path: str, readers: list[LocalStore]) -> None:
    """Removes a folder when its last reader is gone, at the latest when Python ends."""
    if not os.path.exists(path):
        return
    if not readers:
        shutil.rmtree(path)
        return
    left, owner = {id(reader) for reader in readers}, os.getpid()

    def gone(one: int) -> None:
        left.discard(one)
        if not left and os.getpid() == owner:  # not in a forked child, whose parent may read on
            shutil.rmtree(path, ignore_errors=True)

    for reader in readers:
        weakref.finalize(reader, gone, id(reader))


def sweep(path: PurePosixPath) -> None:
    """Removes what processes that were killed have left behind."""
    for old in Path(path.parent).glob(f"{path.name}.old-*"):
        try:
            os.kill(int(old.name.split("-")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(old, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # another user's living process, or no store of ours
