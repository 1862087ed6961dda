"""Open one NetCDF file or Zarr store, local or remote, and reject a damaged one."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import fsspec
import numpy as np
import xarray as xr
import zarr
from fsspec.registry import known_implementations

from fieldcast.calendars import CALENDARS
from fieldcast.errors import InputError
from fieldcast.fields.encoding import is_packed, misfit
from fieldcast.fields.paths import NETCDF_SUFFIXES, installation, is_remote, local, require

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
    """Open a file or store as it is, without reading values; `key` is the option that named it."""
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
    """Read a file or store as it is, with all values; `key` is the option that named it."""
    opened = open_file(path, key)
    check_chunks(opened, [str(name) for name in opened.variables], path)
    with opened, reading(f"'{path}'", Exception):
        return opened.load()


def check_chunks(opened: xr.Dataset, names: Sequence[str], path: str) -> None:
    """Reject a Zarr store with missing chunks of these variables that would be read as numbers."""
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


# Compute the length of a classic NetCDF file from its header: CDF-1, CDF-2 (64-bit offset), CDF-5.
#
# The C library reads zeros beyond the end of a truncated file. Layout: the NetCDF User Guide's "file format
# specifications"; counts, lengths and sizes have eight bytes in CDF-5 and four in the others. All numbers are big-
# endian.
#
#     header = magic  number of records  dimensions  attributes  variables


# bytes per value, by type number
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


class Variable(NamedTuple):
    """Extent of a variable: where it begins and its `size` in bytes (per record, if it has the record dimension)."""

    begin: int
    size: int
    of_records: bool


class Header:
    """Sequential reader of a header."""

    def __init__(self, file: BinaryIO):
        self.file = file
        magic = self._take(4)
        if magic[:3] != b"CDF" or magic[3] not in (1, 2, 5):
            raise ValueError("it has no header of NetCDF 3")
        self.count_bytes = 8 if magic[3] == 5 else 4
        self.offset_bytes = 4 if magic[3] == 1 else 8
        self.records = self._count()
        if self.records == 256**self.count_bytes - 1:  # "streaming": the writer did not record the number
            self.records = 0

    def variables(self) -> list[Variable]:
        """All variables, in order."""
        dimensions = [self._dimension() for _ in range(self._entries())]
        self._skip_attributes()
        return [self._variable(dimensions) for _ in range(self._entries())]

    def _take(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise ValueError("it ends too early")
        return data

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _count(self) -> int:
        return self._number(self.count_bytes)

    def _entries(self) -> int:
        """Length of a list, after its tag."""
        self._number(4)
        return self._count()

    def _skip_padded(self, size: int) -> None:
        self._take(_padded(size))

    def _dimension(self) -> int:
        self._skip_padded(self._count())  # its name
        return self._count()

    def _skip_attributes(self) -> None:
        for _ in range(self._entries()):
            self._skip_padded(self._count())  # its name
            size = self._type_bytes()
            self._skip_padded(size * self._count())

    def _type_bytes(self) -> int:
        number = self._number(4)
        if number not in _BYTES:
            raise ValueError("its header is damaged")
        return _BYTES[number]

    def _variable(self, dimensions: list[int]) -> Variable:
        self._skip_padded(self._count())  # its name
        numbers = [self._count() for _ in range(self._count())]
        if any(number >= len(dimensions) for number in numbers):
            raise ValueError("its header is damaged")
        shape = [dimensions[number] for number in numbers]
        self._skip_attributes()
        size = self._type_bytes()
        self._count()  # the size in the header, which is truncated for variables of 4 GiB and more
        of_records = bool(shape) and shape[0] == 0  # the record dimension has the length 0
        return Variable(
            self._number(self.offset_bytes), size * math.prod(shape[1:] if of_records else shape), of_records
        )


def expected_size(path: str | Path) -> int:
    """Minimum number of bytes of a file with this header.

    Records interleave the record variables, each padded to four bytes; a single record variable is not padded.
    """
    with open(path, "rb") as file:
        header = Header(file)
        variables = header.variables()
        end = file.tell()
    parts = [v.size for v in variables if v.of_records]
    record = sum(_padded(size) for size in parts) if len(parts) > 1 else sum(parts)
    for v in variables:
        if not v.of_records:
            end = max(end, v.begin + v.size)
        elif header.records:
            end = max(end, v.begin + (header.records - 1) * record + v.size)
    return end


def _padded(size: int) -> int:
    """Size rounded up to a multiple of four."""
    return -(-size // 4) * 4


# Reasons why the variables of a file cannot be decoded: units, packing, attributes and times.


def undecodable(raw: xr.Dataset, path: str) -> str | None:
    """Describe the first variable of an undecoded file that cannot be decoded; None if all can."""
    for name, array in raw.variables.items():
        if text := misfit(array.attrs, str(name), f"'{path}'"):
            return text
        if not isinstance(named := array.attrs.get("coordinates", ""), str):
            return (
                f"the attribute coordinates of '{name}' in '{path}' is {named}: make it a text, or remove it"
            )
        units, calendar = (array.attrs.get(key) for key in ("units", "calendar"))
        if " since " in str(units) and calendar is not None and str(calendar).lower() not in CALENDARS:
            return (
                f"'{name}' of '{path}' has the unknown calendar '{calendar}': correct its attribute calendar, to one "
                f"of {', '.join(CALENDARS)}"
            )
        if text := _one_huge_time(str(name), array, path):
            return text
        try:
            xr.conventions.decode_cf_variable(name, array, decode_timedelta=False)
        except Exception:
            limits = f"{array.values.min():g} to {array.values.max():g}" if array.size else "nothing"
            return (
                f"the times of '{path}' cannot be decoded ('{name}' runs from {limits} '{units}'"
                f"{f', calendar {calendar!r}' if calendar else ''}): give dates in units such as "
                "'days since 2001-01-01'"
            )
    return None


def are_float_times(array: xr.Variable) -> bool:
    """Whether times of one dimension were stored as numbers that are not whole."""
    stored = np.dtype(array.encoding.get("dtype", int))
    return array.ndim == 1 and stored.kind == "f" and " since " in str(array.encoding.get("units"))


def _one_huge_time(name: str, array: xr.Variable, path: str) -> str | None:
    """Sentence on the largest of some times if it alone cannot be decoded; None otherwise."""
    units = str(array.attrs.get("units"))
    if " since " not in units or array.ndim != 1 or array.dtype.kind not in "fiu" or not array.size:
        return None

    def decodable(number: float) -> bool:
        variable = xr.Variable(array.dims, np.array([number]), array.attrs)
        try:
            xr.conventions.decode_cf_variable(name, variable, decode_timedelta=False).load()
        except Exception:
            return False
        return True

    largest = int(np.nanargmax(np.abs(array.values.astype(float)))) if array.notnull().any() else 0
    value = float(array.values[largest])
    if decodable(value) or not decodable(float(np.nanmedian(array.values))):
        return None
    return f"{name} {largest + 1} of '{path}' is {value:g} '{units}': correct it"


# Detect missing chunks of a Zarr store, which Zarr silently reads as the array's fill value.
#
# They become NaN if the fill value is declared as missing, and otherwise a number such as `add_offset`.


LOG = logging.getLogger(__name__)
MAX_LISTED_CHUNKS = 20_000  # largest number of chunks of a remote array that are listed, in twenty requests


def refuse_missing_chunks(
    opened: xr.Dataset, names: Iterable[str], path: str, options: Mapping[str, Any] | None = None
) -> None:
    """Reject a store with a missing chunk that would be read as a number.

    Parameters
    ----------
    opened
        The Zarr store at `path`.
    names
        Variables to check. For a remote store their chunks are listed, a thousand per request.
    path
        Folder or address of the store.
    options
        Options of fsspec.
    """
    doubtful = [name for name in names if _is_doubtful(opened, name)]
    if not doubtful:
        return
    group = zarr.open_group(path, mode="r", storage_options=dict(options) if options else None)
    for name in doubtful:
        stored = group[name]
        if not isinstance(stored, zarr.Array):
            continue
        if "://" in path and stored.nchunks > MAX_LISTED_CHUNKS:
            LOG.warning("'%s' was not checked for missing chunks: '%s' has %d.", path, name, stored.nchunks)
            continue
        missing = stored.nchunks - stored.nchunks_initialized
        if missing:
            packed = " before unpacking" if is_packed(opened[name]) else ""
            raise InputError(
                f"'{path}' lacks {missing} of the {stored.nchunks} chunks of variable '{name}', which would be read "
                f"as {stored.fill_value or 0:g}{packed}: copy or download it again, or, if that is their true value, "
                "write it again with write_empty_chunks=True"
            )


def _is_doubtful(opened: xr.Dataset, name: str) -> bool:
    """Whether a missing chunk would do harm; in the coordinate of a dimension it shows as a repeated value."""
    repeats = name in opened.indexes and not opened.indexes[name].is_unique
    return bool(opened[name].ndim) and (repeats or not _may_be_missing(opened[name]))


def _may_be_missing(array: xr.DataArray) -> bool:
    """Whether a missing chunk is harmless: read as missing values, or as integers that are not packed.

    Zarr does not write chunks that hold only its fill value, such as the zeros of a mask.
    """
    encoding = array.encoding
    kind = np.dtype(encoding.get("dtype", array.dtype)).kind
    fill = encoding.get("fill_value", encoding.get("_FillValue"))  # format 2 has only the latter
    if kind not in "fiu" or (fill is not None and kind in "iu" and not is_packed(array)):
        return True
    declared = [encoding[key] for key in ("_FillValue", "missing_value") if key in encoding]
    gap = 0 if fill is None else fill
    return bool(np.isnan(gap) or any(np.any(np.equal(gap, value)) for value in declared))
