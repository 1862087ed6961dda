"""Open one NetCDF file or Zarr store, local or remote, and reject a damaged one."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.chunks import refuse_missing_chunks
from fieldcast.fields.netcdf3 import expected_size

_MAGIC = {b"\x89HDF": "netcdf", b"CDF\x01": "classic", b"CDF\x02": "classic", b"CDF\x05": "classic"}
_HOSTS = {"gs": "https://storage.googleapis.com", "gcs": "https://storage.googleapis.com"}
_ANONYMOUS: dict[str, dict[str, Any]] = {
    "gs": {"token": "anon"},
    "gcs": {"token": "anon"},
    "s3": {"anon": True},
}


def open_file(path: str, key: str = "ingestion.path") -> xr.Dataset:
    """Open a file or store as it is, without reading values; `key` is the option that named it.

    Raises
    ------
    InputError
        For a file that is missing, truncated, empty or of another format.
    """
    if urlsplit(path).scheme:
        return _open_remote(path, key)
    path = os.path.expanduser(path)
    if not os.path.exists(path):
        raise InputError(f"'{path}' does not exist: check {key}")
    kind = _kind(path)
    try:
        if kind == "zarr":
            return xr.open_zarr(path, chunks=None, decode_timedelta=False)
        if kind == "classic" and os.path.getsize(path) < expected_size(path):
            raise OSError("it is truncated")
        return xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
    except Exception as error:
        raise InputError(_unreadable(path, kind, error)) from error


def read_file(path: str, key: str) -> xr.Dataset:
    """Read a file or store as it is, with all values; `key` is the option that named it.

    Raises
    ------
    InputError
        For a file that is missing, truncated, empty or of another format.
    """
    opened = open_file(path, key)
    check_chunks(opened, [str(name) for name in opened.data_vars], path)
    with opened, reading(f"'{path}'", Exception):
        return opened.load()


def check_chunks(opened: xr.Dataset, names: Sequence[str], path: str) -> None:
    """Reject a Zarr store with missing chunks of these variables that would be read as numbers.

    Raises
    ------
    InputError
        As `chunks.refuse_missing_chunks` does.
    """
    remote = bool(urlsplit(path).scheme)
    if remote or os.path.isdir(os.path.expanduser(path)):
        with reading(f"'{path}'", Exception):
            refuse_missing_chunks(opened, names, os.path.expanduser(path), _options(path))


@contextmanager
def reading(where: str, *kinds: type[Exception]) -> Iterator[None]:
    """Convert errors while values are read to InputError; opening a file reveals neither damage nor a lost network."""
    try:
        yield
    except InputError:
        raise
    except kinds as error:
        remedy = (
            "try again, or copy the store to this machine" if "://" in where else "copy or download it again"
        )
        raise InputError(f"{where} cannot be read to its end ({first_line(error)}): {remedy}") from error


def first_line(text: object) -> str:
    """First line of a text, at most 200 characters."""
    return (str(text).strip().splitlines() or [""])[0][:200]


def _kind(path: str) -> str:
    """Format by content: `netcdf`, `classic` (NetCDF 3 and CDF-5) or `zarr`."""
    if os.path.isdir(path):
        if any(os.path.exists(os.path.join(path, name)) for name in ("zarr.json", ".zgroup", ".zmetadata")):
            return "zarr"
        raise InputError(
            f"'{path}' is a folder, not a Zarr store: give a file, or a glob such as '{path}/*.nc'"
        )
    try:
        with open(path, "rb") as file:
            head = file.read(4)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror}): check its permissions") from error
    if not head:
        raise InputError(f"'{path}' is empty (0 bytes): copy or download it again")
    if head not in _MAGIC:
        hint = (
            "convert the GRIB file to NetCDF first" if head == b"GRIB" else "give a NetCDF file or Zarr store"
        )
        raise InputError(f"'{path}' is not NetCDF: {hint}")
    return _MAGIC[head]


def _unreadable(path: str, kind: str, error: Exception) -> str:
    message = error.strerror if isinstance(error, OSError) and error.strerror else error
    cause = (str(message).strip().splitlines() or [type(error).__name__])[0][:160]
    if "decode" in cause and "time" in cause:
        return (
            f"the times of '{path}' cannot be decoded ({cause}): give units such as 'days since 2001-01-01'"
        )
    form = "Zarr store" if kind == "zarr" else "NetCDF file"
    return f"'{path}' is a damaged or truncated {form} ({cause}): copy or download it again"


def _open_remote(path: str, key: str) -> xr.Dataset:
    """Open a remote Zarr store anonymously."""
    address = urlsplit(path)
    try:
        if address.scheme in _HOSTS:
            _reach(_HOSTS[address.scheme])
        return xr.open_zarr(path, chunks=None, decode_timedelta=False, storage_options=_options(path))
    except FileNotFoundError as error:
        raise InputError(f"there is no Zarr store at '{path}': check {key}") from error
    except Exception as error:
        raise InputError(
            f"'{path}' cannot be reached ({type(error).__name__}): check the network, or give {key} "
            "a copy of the store on this machine"
        ) from error


def _options(path: str) -> dict[str, Any]:
    """Options of the fsspec client for an address."""
    return _ANONYMOUS.get(urlsplit(path).scheme, {})


def _reach(host: str) -> None:
    """Fail within seconds without a network; the cloud's own client retries for a minute."""
    try:
        urlopen(host, timeout=10).close()
    except HTTPError:
        return  # the host answered, if only with an error page
