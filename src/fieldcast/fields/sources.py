"""A user's source: NetCDF or Zarr, one or many, here or remote; opened lazily, in the contract's shape."""

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from math import prod
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import xarray as xr
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from fieldcast.errors import InputError
from fieldcast.fields import calendars
from fieldcast.fields.chunks import refuse_missing_chunks
from fieldcast.fields.conventions import select_variables, time_varying, to_contract
from fieldcast.fields.joining import joined
from fieldcast.fields.netcdf3 import expected_size
from fieldcast.fields.periods import within

_MAGIC = {b"\x89HDF": "netcdf", b"CDF\x01": "classic", b"CDF\x02": "classic", b"CDF\x05": "classic"}

LEAST = 2**20  # bytes of one read
_HOSTS = {"gs": "https://storage.googleapis.com", "gcs": "https://storage.googleapis.com"}
_ANONYMOUS: dict[str, dict[str, Any]] = {
    "gs": {"token": "anon"},
    "gcs": {"token": "anon"},
    "s3": {"anon": True},
}


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Source:
    """What to read.

    path: NetCDF file, glob, Zarr store, address (gs://...), or a list of them.
    variables: names in the file or short names (z500, t2m); all on (time, latitude, longitude) by default.
    period: [first, last] as ISO dates, whole or in part (2001, 2001-05), both inclusive.
    levels: of level variables [hPa, or the level's own unit]; all by default.
    step_hours: every how many hours a field is taken (not averaged); all by default.
    gaps: what missing dates do: "refuse", or "segment" (each regular stretch of time is one segment).
    """

    path: str | list[str]
    variables: list[str] | None = None
    period: tuple[str | int | date, str | int | date] | None = None
    levels: list[float] | None = None
    step_hours: float | None = None
    gaps: Literal["refuse", "segment"] = "refuse"

    @property
    def where(self) -> str:
        """How sentences call it."""
        return f"'{self.path}'" if isinstance(self.path, str) else f"'{self.path[0]}' and others"


def open_source(source: Source) -> xr.Dataset:
    """The chosen variables, period and step, lazily (dask), on (time, latitude, longitude) in float32.

    Raises InputError for a file that is missing, truncated, empty or of another format, a store that cannot
    be reached, a variable or period that is not there.
    """
    parts = []
    for path in _paths(source.path):
        opened = open_file(path)
        with reading(f"'{path}'", OSError, RuntimeError):
            part = to_contract(_chunked(opened), f"'{path}'", source.variables, source.levels)
        aliases = {name for array in part.data_vars.values() for name in array.attrs["aliases"].split()}
        check_chunks(opened, [str(name) for name in opened.data_vars if name in aliases], path)
        if part.data_vars:
            parts.append((path, part))
    dataset = joined(parts)
    if source.variables is not None:
        names = dataset if parts else to_contract(opened, source.where)
        dataset = select_variables(names, source.variables, source.where)
    if not time_varying(dataset):
        raise InputError(
            f"{source.where} holds no variable on (time, latitude, longitude): give another file"
        )
    if source.period is not None:
        inside = within(dataset["time"], source.period, "ingestion.period", source.where)
        dataset = dataset.isel(time=np.flatnonzero(inside))
    if source.step_hours is not None:
        dataset = _every(dataset, source.step_hours, source.where)
    for name in dataset.data_vars:
        dataset[name].attrs.pop("aliases", None)
    return dataset


def read_file(path: str, key: str) -> xr.Dataset:
    """One NetCDF file or Zarr store as it is, values read; `key` is the option that named it.

    Raises InputError for a file that is missing, truncated, empty or of another format.
    """
    opened = open_file(path, key)
    check_chunks(opened, [str(name) for name in opened.data_vars], path)
    with opened, reading(f"'{path}'", Exception):
        return opened.load()


@contextmanager
def reading(where: str, *kinds: type[Exception]) -> Iterator[None]:
    """Opening reads no values: damage inside a file, or a network that breaks off, shows only here."""
    try:
        yield
    except InputError:
        raise
    except kinds as error:
        todo = (
            "try again, or copy the store to this machine" if "://" in where else "copy or download it again"
        )
        raise InputError(f"{where} cannot be read to its end ({line(error)}): {todo}") from error


def line(text: object) -> str:
    """The first line of a text, at most 200 characters."""
    return (str(text).strip().splitlines() or [""])[0][:200]


def _paths(path: str | Sequence[str]) -> list[str]:
    """All files and stores meant, in order of name."""
    paths: list[str] = []
    for one in [path] if isinstance(path, str) else path:
        local = not urlsplit(one).scheme
        found = sorted(glob.glob(os.path.expanduser(one))) if local and glob.has_magic(one) else [one]
        if not found:
            raise InputError(f"no file matches '{one}': check ingestion.path")
        paths += found
    if not paths:
        raise InputError("ingestion.path names no file: give a NetCDF file, a Zarr store, or a glob")
    return paths


def open_file(path: str, key: str = "ingestion.path") -> xr.Dataset:
    """One file or store as it is, values unread; `key` is the option that named it.

    Raises InputError for a file that is missing, truncated, empty or of another format.
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
            raise OSError("it ends too early")
        return xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
    except Exception as error:
        raise InputError(_unreadable(path, kind, error)) from error


def check_chunks(opened: xr.Dataset, names: Sequence[str], path: str) -> None:
    """Refuses a Zarr store that lacks chunks of these variables, where they would be read as numbers.

    Raises InputError, as `chunks.refuse_missing_chunks` does.
    """
    remote = bool(urlsplit(path).scheme)
    if remote or os.path.isdir(os.path.expanduser(path)):
        with reading(f"'{path}'", Exception):
            refuse_missing_chunks(opened, names, os.path.expanduser(path), _options(path))


def _kind(path: str) -> str:
    """`netcdf`, `classic` (NetCDF 3 and CDF-5) or `zarr`, by what is in the file."""
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
    said = error.strerror if isinstance(error, OSError) and error.strerror else error
    line = (str(said).strip().splitlines() or [type(error).__name__])[0][:160]
    if "decode" in line and "time" in line:
        return (
            f"the times of '{path}' cannot be understood ({line}): give units such as 'days since 2001-01-01'"
        )
    form = "Zarr store" if kind == "zarr" else "NetCDF file"
    return f"'{path}' is a damaged or truncated {form} ({line}): copy or download it again"


def _open_remote(path: str, key: str) -> xr.Dataset:
    """A Zarr store at an address, read anonymously."""
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
    """Options of the client that reads an address."""
    return _ANONYMOUS.get(urlsplit(path).scheme, {})


def _reach(host: str) -> None:
    """Fails within seconds where the network is missing; the cloud's own client tries for a minute."""
    try:
        urlopen(host, timeout=10).close()
    except HTTPError:
        return  # an answer, though not a page


def _chunked(opened: xr.Dataset) -> xr.Dataset:
    """Numbers as dask arrays, in chunks of the file, so many at once that a read is worth its while."""
    lazy = {}
    for name, array in opened.data_vars.items():
        if array.ndim and array.dtype.kind in "fiu":
            chunk = dict(array.encoding.get("preferred_chunks") or {**array.sizes, array.dims[0]: 1})
            size = array.dtype.itemsize * prod(chunk.values())
            first = array.dims[0]
            chunk[first] = min(array.sizes[first], chunk[first] * max(1, LEAST // size))
            lazy[name] = array.chunk(chunk)
    return opened.assign(lazy)


def _every(dataset: xr.Dataset, step_hours: float, where: str) -> xr.Dataset:
    """Fields whose hours since the first are a multiple of the step."""
    native = calendars.step_hours(dataset["time"])
    multiple = step_hours / native if native else 1.0
    if multiple < 1 - 1e-6 or abs(multiple - round(multiple)) > 1e-6:
        raise InputError(
            f"ingestion.step_hours is {step_hours:g}, and {where} has a step of {native:g} hours: "
            "give a multiple of it"
        )
    hours = calendars.hours(dataset["time"])
    return dataset.isel(time=np.flatnonzero(np.abs(np.remainder(hours + 1e-6, step_hours)) < 1e-3))
