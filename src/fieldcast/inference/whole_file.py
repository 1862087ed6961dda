"""Write a file at once: under another name, which is renamed when it is complete."""

from __future__ import annotations

import os
from pathlib import Path

from fieldcast.errors import InputError

LONGEST = 200  # characters of a path in a message


def write_whole(path: str | Path, content: bytes) -> None:
    """Put a file in place of an earlier one, of which nothing is lost if writing fails; folders are made.

    Raises
    ------
    InputError
        If the name is that of a device, a pipe or a folder, which a file would replace.
    OSError
        If the file cannot be written, for example because the disk is full; nothing is left beside it.
    """
    path = Path(path)
    refuse_no_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_named(path: str, content: bytes) -> None:
    """Put a file in place, as `write_whole` does, under a name that a user has chosen.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"'{shortened(path)}' cannot be written ({reason}): name a file in a folder that can be written to."
        ) from error


def refuse_no_file(path: str | os.PathLike[str]) -> None:
    """Raise an InputError for a name that something other than a file has."""
    try:
        there = os.path.exists(path)
    except ValueError:
        there = False
    if there and not os.path.isfile(path):
        kind = "folder" if os.path.isdir(path) else "device or pipe"
        raise InputError(f"'{path}' is a {kind}, not a file: name a file.")


def shortened(path: str) -> str:
    """A path as messages name it: the end of a long one is left out."""
    return path if len(path) <= LONGEST else f"{path[:LONGEST]}..."
