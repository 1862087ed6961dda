"""Write a file in one step: under another name first, and renamed when it is complete."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from fieldcast.errors import InputError

MAX_PATH_LENGTH = 200  # characters of a path that a message shows


def write_whole(path: str | Path, content: bytes) -> None:
    """Write or replace a file, and create its folder; an earlier file survives if writing fails."""
    path = Path(path)
    refuse_special_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_named(path: str, content: bytes) -> None:
    """Write a file as `write_whole` does, at a path that a user has chosen."""
    try:
        write_whole(path, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"'{shorten(path)}' cannot be written ({reason}): name a file in a folder that can be written to."
        ) from error


def refuse_special_file(path: str | os.PathLike[str], name: str = "") -> None:
    """Raise an InputError if there is something other than a file at a path, which the option `name` sets."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # nothing is there
        return
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "pipe" if stat.S_ISFIFO(mode) else "device"
        raise InputError(f"{name} '{path}' is a {kind}, not a file: name a file.".lstrip())


def refuse_unwritable(path: str | os.PathLike[str], name: str) -> None:
    """Raise an InputError if no file can be written at a path, which the option `name` sets."""
    refuse_special_file(path, name)
    label = f"{name} '{shorten(str(path))}'"
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{label} is too long a name for this file system: shorten it.") from None
    except ValueError:
        raise InputError(f"{label} holds a character that no name may have: name a file.") from None
    folder = next(parent for parent in Path(path).absolute().parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise InputError(f"{label} cannot be written ('{folder}' is not a folder): name a file in a folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        cause = "is on a read-only file system" if read_only else "does not permit it"
        raise InputError(
            f"{label} cannot be written (the folder '{folder}' {cause}): name a file in another folder."
        )


def shorten(path: str) -> str:
    """A path for messages, without the end of a very long one."""
    return path if len(path) <= MAX_PATH_LENGTH else f"{path[:MAX_PATH_LENGTH]}..."
