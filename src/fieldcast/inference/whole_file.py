"""Write a file at once: under another name, which is renamed when it is complete."""

from __future__ import annotations

import errno
import os
import stat
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


def refuse_no_file(path: str | os.PathLike[str], name: str = "") -> None:
    """Raise an InputError for a path of something other than a file; `name` is the option that gave it."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # nothing is there
        return
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "pipe" if stat.S_ISFIFO(mode) else "device"
        raise InputError(f"{name} '{path}' is a {kind}, not a file: name a file.".lstrip())


def refuse_unwritable(path: str | os.PathLike[str], name: str) -> None:
    """Raise an InputError for a path, given by the option `name`, at which no file can be written."""
    refuse_no_file(path, name)
    given = f"{name} '{shortened(str(path))}'"
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{given} is too long a name for this file system: shorten it.") from None
    except ValueError:
        raise InputError(f"{given} holds a character that no name may have: name a file.") from None
    folder = next(parent for parent in Path(path).absolute().parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise InputError(f"{given} cannot be written ('{folder}' is not a folder): name a file in a folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        cause = "is on a read-only file system" if read_only else "does not permit it"
        raise InputError(
            f"{given} cannot be written (the folder '{folder}' {cause}): name a file in another folder."
        )


def shortened(path: str) -> str:
    """A path as messages name it: the end of a long one is left out."""
    return path if len(path) <= LONGEST else f"{path[:LONGEST]}..."
