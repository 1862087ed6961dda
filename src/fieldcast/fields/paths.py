"""Tell local paths, globs and addresses apart."""

from __future__ import annotations

import glob
import os

from fieldcast.errors import InputError


def is_remote(path: str) -> bool:
    """Whether a path is an address (gs://...); `era5:2001.nc` and `file:///data/a.nc` are local."""
    return "://" in path and not path.startswith("file://")


def local(path: str) -> str:
    """Local path without `file://` and with the home folder in full."""
    return os.path.expanduser(path.removeprefix("file://"))


def matches(path: str) -> list[str]:
    """Local files and folders that a path or glob matches, sorted; a file called `a[1].nc` matches itself alone."""
    path = local(path)
    return [path] if os.path.exists(path) else sorted(glob.glob(path))


def require(path: str, key: str) -> None:
    """Raise an InputError for a local path or glob that matches nothing; `key` is the option that named it."""
    if is_remote(path) or matches(path):
        return
    if glob.has_magic(path):
        raise InputError(f"no file matches '{path}': check {key}")
    raise InputError(f"'{local(path)}' does not exist: check {key}")


def files_of(path: str) -> list[str]:
    """Local files that a path or glob matches, including all files inside a store; none for a remote path."""
    matching = matches(path)
    inside = (
        name
        for match in matching
        for name in glob.glob(os.path.join(glob.escape(match), "**"), recursive=True, include_hidden=True)
    )
    return [name for name in {*matching, *inside} if os.path.isfile(name)]
