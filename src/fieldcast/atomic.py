"""Files that appear whole or not at all: written beside their place, flushed to the disk, and renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the path at which to write a file, which then replaces that at `path`, whose folder is created.

    If writing fails or is interrupted, an earlier file survives, and nothing is left beside it.
    """
    partial = f"{os.fspath(path)}.partial"
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        yield partial
        publish(partial, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(partial)
        raise


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write or replace a file, see `atomic`; text as UTF-8."""
    with atomic(path) as partial:
        Path(partial).write_bytes(content.encode() if isinstance(content, str) else content)


def publish(partial: str, path: str | os.PathLike[str]) -> None:
    """Flush a file to the disk, and put it in the place of another."""
    flush(partial)
    os.replace(partial, path)
    flush(os.path.dirname(path) or ".")


def flush(path: str) -> None:
    """Flush a file, or the names in a folder, to the disk, so that they survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
