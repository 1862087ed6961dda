"""Distinguish local paths, globs and addresses, and name the packages that addresses need."""

from __future__ import annotations

import glob
import os

from fsspec.registry import known_implementations

from fieldcast.errors import InputError

EXTRAS = {"gcsfs": "era5", "s3fs": "s3"}  # extra of this package that installs each of these packages

NETCDF_SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf")
# of an address that names a file, not a store
FILE_SUFFIXES = (
    *NETCDF_SUFFIXES,
    ".h5",
    ".hdf5",
    ".gz",
    ".zip",
    ".bz2",
    ".xz",
    ".tar",
    ".tgz",
    ".grib",
    ".grb",
    ".tif",
)


def installation(scheme: str) -> str:
    """The command that installs what addresses of a scheme, such as s3, need: `pip install 'fieldcast[s3]'`."""
    package = known_implementations[scheme]["class"].partition(".")[0]
    if package == "fsspec":
        return "install that"
    return (
        f"`pip install 'fieldcast[{EXTRAS[package]}]'`" if package in EXTRAS else f"`pip install {package}`"
    )


def is_remote(path: str) -> bool:
    """Whether a path is an address (gs://...); `era5:2001.nc` and `file:///data/a.nc` are local."""
    return "://" in path and not path.startswith("file://")


def local(path: str) -> str:
    """Local path without `file://` and with the home folder in full."""
    return os.path.expanduser(path.removeprefix("file://"))


def names_files(name: str) -> bool:
    """Whether a name is that of a local file or folder, or a glob."""
    return glob.has_magic(name) or os.path.exists(local(name))


def matches(path: str) -> list[str]:
    """Local files and folders that a path or glob matches, sorted; a file called `a[1].nc` matches itself alone."""
    path = local(path)
    return [path] if os.path.exists(path) else sorted(glob.glob(path))


def require(path: str, key: str) -> None:
    """Raise an InputError for a local path or glob that matches nothing; `key` is the option that named it."""
    if is_remote(path) or matches(path):
        return
    if glob.has_magic(path):
        raise InputError(f"no file matches '{path}': check its name ({key})")
    raise InputError(f"'{local(path)}' does not exist: check its name ({key})")


def files_of(path: str) -> list[str]:
    """Local files that a path or glob matches, including all files inside a store; none for a remote path."""
    matching = matches(path)
    inside = (
        name
        for match in matching
        for name in glob.glob(os.path.join(glob.escape(match), "**"), recursive=True, include_hidden=True)
    )
    return [name for name in {*matching, *inside} if os.path.isfile(name)]
