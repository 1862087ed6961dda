"""Open one NetCDF file or Zarr store, local or remote, and reject a damaged one."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import fsspec
import numpy as np
import xarray as xr
from fsspec.registry import known_implementations

from fieldcast.errors import InputError
from fieldcast.fields.chunks import refuse_missing_chunks
from fieldcast.fields.netcdf3 import expected_size
from fieldcast.fields.paths import NETCDF_SUFFIXES, installation, is_remote, local, require
from fieldcast.fields.undecodable import are_float_times, undecodable

_MAGIC = {b"\x89HDF": "netcdf", b"CDF\x01": "classic", b"CDF\x02": "classic", b"CDF\x05": "classic"}
_HOSTS = {"gs": "https://storage.googleapis.com", "gcs": "https://storage.googleapis.com"}
# xarray's warning on a store without consolidated metadata, which is only slower to open
UNCONSOLIDATED = "Failed to open Zarr store with consolidated metadata"
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
    if is_remote(path):
        return _open_remote(path, key)
    require(path, key)
    path = local(path)
    kind = _kind(path)
    try:
        if kind == "classic" and os.path.getsize(path) < expected_size(path):
            raise OSError("it is truncated")
        opened = _opened(path, kind)
    except Exception as error:
        raise InputError(_undecodable(path, kind) or _unreadable(path, kind, error)) from error
    if not opened.data_vars:
        _refuse_groups(path, kind)
    for name in (str(name) for name, array in opened.variables.items() if are_float_times(array)):
        with _opened(path, kind, decode_times=False) as raw:
            infinite = np.isinf(raw[name].values)
        if infinite.any():  # xarray reads it as the reference date
            raise InputError(f"{name} {infinite.argmax() + 1} of '{path}' is infinite: correct it")
    return opened


def read_file(path: str, key: str) -> xr.Dataset:
    """Read a file or store as it is, with all values; `key` is the option that named it.

    Raises
    ------
    InputError
        For a file that is missing, truncated, empty or of another format.
    """
    opened = open_file(path, key)
    check_chunks(opened, [str(name) for name in opened.variables], path)
    with opened, reading(f"'{path}'", Exception):
        return opened.load()


def check_chunks(opened: xr.Dataset, names: Sequence[str], path: str) -> None:
    """Reject a Zarr store with missing chunks of these variables that would be read as numbers.

    Raises
    ------
    InputError
        If chunks are missing; see `chunks.refuse_missing_chunks`.
    """
    opened_path = path if is_remote(path) else local(path)
    is_store = (
        not urlsplit(path).path.endswith(NETCDF_SUFFIXES) if is_remote(path) else os.path.isdir(opened_path)
    )
    if is_store:
        with reading(f"'{path}'", Exception):
            refuse_missing_chunks(opened, names, opened_path, _options(path))


@contextmanager
def reading(where: str, *kinds: type[Exception]) -> Iterator[None]:
    """Convert errors while values are read to InputError; opening a file reveals neither damage nor a lost network."""
    try:
        yield
    except InputError:
        raise
    except kinds as error:
        remedy = (
            "try again, or copy the store to this machine"
            if is_remote(where.strip("'"))
            else "copy or download it again"
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
    if not os.path.exists(path):
        raise InputError(f"'{path}' is a broken symbolic link: correct it")
    if not os.path.isfile(path):
        raise InputError(
            f"'{path}' is a pipe or device, not a file: save the data to a file and give that one"
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


def _opened(path: str, kind: str, **options: bool) -> xr.Dataset:
    """Open a local file or store of a format; `options` are xarray's, such as `decode_times`."""
    with warnings.catch_warnings():
        # years beyond 2262: `refuse_far_years` says more
        warnings.simplefilter("ignore", xr.SerializationWarning)
        warnings.filterwarnings("ignore", UNCONSOLIDATED)
        if kind == "zarr":
            return xr.open_zarr(path, chunks=None, decode_timedelta=False, **options)
        return xr.open_dataset(path, engine="netcdf4", decode_timedelta=False, **options)


def _undecodable(path: str, kind: str) -> str | None:
    """Describe why the variables of a file cannot be decoded; None if something else is wrong."""
    try:
        raw = _opened(path, kind, decode_times=False, mask_and_scale=False, decode_coords=False)
    except Exception:
        return None
    with raw:
        return undecodable(raw, path)


def _refuse_groups(path: str, kind: str) -> None:
    """Raise an InputError that names the groups of a file whose variables all lie in groups."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", UNCONSOLIDATED)
        groups = xr.open_groups(path, engine="zarr" if kind == "zarr" else "netcdf4", decode_cf=False)
    names = [name.strip("/") for name, group in groups.items() if group.data_vars]
    if names:
        raise InputError(
            f"'{path}' keeps its variables in groups ({', '.join(names)}), and only those outside any group are "
            f"read: write one to a file of its own, such as xarray.open_dataset('{path}', group='{names[0]}')"
            ".to_netcdf('group.nc')"
        )


def _unreadable(path: str, kind: str, error: Exception) -> str:
    message = error.strerror if isinstance(error, OSError) and error.strerror else error
    cause = (str(message).strip().splitlines() or [type(error).__name__])[0][:160]
    form = "Zarr store" if kind == "zarr" else "NetCDF file"
    return f"'{path}' is a damaged or truncated {form} ({cause}): copy or download it again"


def _open_remote(path: str, key: str) -> xr.Dataset:
    """Open a remote Zarr store, or a NetCDF file, which is copied to this machine for this process."""
    address = urlsplit(path)
    if address.scheme not in known_implementations:
        raise InputError(
            f"'{path}' has the unknown protocol '{address.scheme}': give a path, gs://... or s3://..."
        )
    try:
        if address.scheme in _HOSTS:
            _reach(_HOSTS[address.scheme])
        if address.path.endswith(NETCDF_SUFFIXES):
            copy = fsspec.open_local(f"simplecache::{path}", **{address.scheme: _options(path)})
            return open_file(copy, key)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", UNCONSOLIDATED)
            return xr.open_zarr(path, chunks=None, decode_timedelta=False, storage_options=_options(path))
    except InputError:
        raise
    except ImportError as error:  # fsspec's text names the package
        raise InputError(
            f"'{path}' needs a package that is not installed ({first_line(error)}): {installation(address.scheme)}, or "
            f"give {key} a copy of the store on this machine"
        ) from error
    except FileNotFoundError as error:
        kind = "NetCDF file" if address.path.endswith(NETCDF_SUFFIXES) else "Zarr store"
        raise InputError(f"there is no {kind} at '{path}': check {key}") from error
    except Exception as error:
        raise InputError(
            f"'{path}' cannot be reached ({type(error).__name__}): check the network, or give {key} "
            "a copy of the store on this machine"
        ) from error


def _options(path: str) -> dict[str, Any]:
    """Options of the fsspec client for an address."""
    scheme = urlsplit(path).scheme
    return {} if scheme == "s3" and _has_s3_credentials() else _ANONYMOUS.get(scheme, {})


def _has_s3_credentials() -> bool:
    """Whether the environment or the user's files give credentials (those of AWS's own tools)."""
    try:
        from botocore.session import Session
    except ImportError:
        return False
    return Session().get_credentials() is not None


def _reach(host: str) -> None:
    """Fail within seconds without a network; the cloud's own client retries for a minute."""
    try:
        urlopen(host, timeout=10).close()
    except HTTPError:
        return  # the host answered, if only with an error page
