"""Open one NetCDF file or Zarr store, local or remote, and reject a damaged one."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
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
from fieldcast.fields.containers import format_of, is_archive, is_netcdf, only_file, refusal
from fieldcast.fields.encoding import is_packed, misfit
from fieldcast.fields.paths import FILE_SUFFIXES, installation, is_remote, local, require
from fieldcast.fields.selection import select_part
from fieldcast.fields.times import as_record, decoded_months

LOG = logging.getLogger(__name__)
MAX_LISTED_CHUNKS = 20_000  # largest number of chunks of a remote array that are listed, in twenty requests
_HOSTS = {"gs": "https://storage.googleapis.com", "gcs": "https://storage.googleapis.com"}
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
    if is_archive(path):
        path = only_file(path)
    kind = _kind(path)
    try:
        if kind == "classic" and os.path.getsize(path) < expected_size(path):
            raise OSError("it is truncated")
        opened = _opened(path, kind)
    except Exception as error:
        raise InputError(_explained(path, kind, error)) from error
    if not opened.data_vars:
        _refuse_groups(path, kind)
    for name, array in opened.variables.items():
        stored = np.dtype(array.encoding.get("dtype", int))
        if array.ndim == 1 and stored.kind == "f" and " since " in str(array.encoding.get("units")):
            with _opened(path, kind, decode_times=False) as raw:
                infinite = np.isinf(raw[name].values)
            if infinite.any():  # xarray reads it as the reference date
                raise InputError(f"{name} {infinite.argmax() + 1} of '{path}' is infinite: correct it")
    return opened


def read_file(
    path: str, key: str, region: Sequence[float] | None = None, where: str | None = None
) -> xr.Dataset:
    """Read a file or store as it is, with all values in a `region` and those that satisfy `where`.

    `key` is the option that named it; `fields.selection` describes the others.
    """
    opened = open_file(path, key)
    check_chunks(opened, [str(name) for name in opened.variables], path)
    with opened, reading(f"'{path}'", Exception):
        opened = as_record(opened, f"'{path}'")
        return select_part(opened, region, where, f"'{path}'", key.partition(".")[0]).load()


@contextmanager
def reading(where: str, *kinds: type[Exception], of: xr.Dataset | None = None) -> Iterator[None]:
    """Convert errors while values are read to InputError; opening a file reveals neither damage nor a lost network.

    `of` is a data set that the caller has opened: the message names its first variable that still cannot be read.
    """
    try:
        yield
    except InputError:
        raise
    except kinds as error:
        on_disk = (
            of is not None and isinstance(error, OSError | RuntimeError) and not is_remote(where.strip("'"))
        )
        if on_disk and (name := unreadable(of)) is not None:
            raise InputError(
                f"the variable '{name}' of {where} cannot be read to its end ({first_line(error)}): copy or download "
                "its file again, and open that."
            ) from error
        remedy = (
            "try again, or copy the store to this machine"
            if is_remote(where.strip("'"))
            else "copy or download it again"
        )
        raise InputError(f"{where} cannot be read to its end ({first_line(error)}): {remedy}") from error


def unreadable(dataset: xr.Dataset) -> str | None:
    """The first variable of a data set whose values cannot be read; None if all can be."""
    for name, array in dataset.variables.items():
        try:
            for number in range(array.shape[0] if array.ndim else 1):
                _ = array[number].values if array.ndim else array.values
        except Exception:
            return str(name)
    return None


def first_line(text: object) -> str:
    """First line of a text, at most 200 characters."""
    return (str(text).strip().splitlines() or [""])[0][:200]


def _kind(path: str) -> str:
    """Format by content: `netcdf`, `classic` or `zarr`."""
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
    kind = format_of(path)
    if not is_netcdf(kind):
        raise InputError(refusal(path, kind))
    return kind


def _opened(path: str, kind: str, **options: Any) -> xr.Dataset:
    """Open a file or store of a format; `options` are xarray's, such as `decode_times`."""
    with _quiet():
        if kind == "zarr":
            opened = partial(xr.open_zarr, path, chunks=None, decode_timedelta=False)
        else:
            opened = partial(xr.open_dataset, path, engine="netcdf4", decode_timedelta=False)
        try:
            return opened(**options)
        except (
            ValueError
        ):  # months and years since a date, which xarray decodes in the calendar 360_day alone
            if options:
                raise
            return decoded_months(opened(decode_times=False))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings on years before 1 and beyond 2262, which are checked later, and on a store's metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xr.SerializationWarning)
        warnings.filterwarnings("ignore", "this date/calendar/year zero convention")
        warnings.filterwarnings(
            "ignore", "Failed to open Zarr store with consolidated metadata"
        )  # only slower
        yield


def _open_remote(path: str, key: str) -> xr.Dataset:
    """Open a remote Zarr store, or a NetCDF file, which is copied to this machine for this process."""
    address = urlsplit(path)
    scheme, is_file = address.scheme, address.path.endswith(FILE_SUFFIXES)
    if scheme not in known_implementations:
        raise InputError(f"'{path}' has the unknown protocol '{scheme}': give a path, gs://... or s3://...")
    try:
        if (
            scheme in _HOSTS
        ):  # fail within seconds without a network; the cloud's own client retries for a minute
            with suppress(HTTPError):  # the host answered, if only with an error page
                urlopen(_HOSTS[scheme], timeout=10).close()
        if is_file:
            return open_file(fsspec.open_local(f"simplecache::{path}", **{scheme: _options(path)}), key)
        return _opened(path, "zarr", storage_options=_options(path))
    except InputError:
        raise
    except ImportError as error:  # fsspec's text names the package
        raise InputError(
            f"'{path}' needs a package that is not installed ({first_line(error)}): {installation(scheme)}, or "
            f"give {key} a copy of the store on this machine"
        ) from error
    except FileNotFoundError as error:
        kind = "NetCDF file" if is_file else "Zarr store"
        raise InputError(f"there is no {kind} at '{path}': check {key}") from error
    except Exception as error:
        raise InputError(
            f"'{path}' cannot be reached ({type(error).__name__}): check the network, or give {key} "
            "a copy of the store on this machine"
        ) from error


def _options(path: str) -> dict[str, Any]:
    """Options of the fsspec client for an address: anonymous, unless AWS's own tools have credentials of the user."""
    scheme = urlsplit(path).scheme
    if scheme == "s3":
        with suppress(ImportError):
            from botocore.session import Session

            if Session().get_credentials() is not None:
                return {}
    return _ANONYMOUS.get(scheme, {})


def _refuse_groups(path: str, kind: str) -> None:
    """Raise an InputError that names the groups of a file whose variables all lie in groups."""
    with _quiet():
        groups = xr.open_groups(path, engine="zarr" if kind == "zarr" else "netcdf4", decode_cf=False)
    names = [name.strip("/") for name, group in groups.items() if group.data_vars]
    if names:
        raise InputError(
            f"'{path}' keeps its variables in groups ({', '.join(names)}), and only those outside any group are "
            f"read: write one to a file of its own, such as xarray.open_dataset('{path}', group='{names[0]}')"
            ".to_netcdf('group.nc')"
        )


def _explained(path: str, kind: str, error: Exception) -> str:
    """Say why a file cannot be opened: a variable that cannot be decoded, else damage."""
    with (
        suppress(Exception),
        _opened(path, kind, decode_times=False, mask_and_scale=False, decode_coords=False) as raw,
    ):
        for name, array in raw.variables.items():
            if text := _undecodable(str(name), array, path):
                return text
    message = error.strerror if isinstance(error, OSError) and error.strerror else error
    form = "Zarr store" if kind == "zarr" else "NetCDF file"
    cause = first_line(message)[:160] or type(error).__name__
    return f"'{path}' is a damaged or truncated {form} ({cause}): copy or download it again"


def _undecodable(name: str, array: xr.Variable, path: str) -> str | None:
    """Sentence on units, packing, attributes or times by which a variable cannot be decoded; None if it can."""
    if text := misfit(array.attrs, name, f"'{path}'"):
        return text
    if not isinstance(named := array.attrs.get("coordinates", ""), str):
        return f"the attribute coordinates of '{name}' in '{path}' is {named}: make it a text, or remove it"
    units, calendar = (array.attrs.get(key) for key in ("units", "calendar"))
    are_times = " since " in str(units)
    if are_times and calendar is not None and str(calendar).lower() not in CALENDARS:
        return (
            f"'{name}' of '{path}' has the unknown calendar '{calendar}': correct its attribute calendar, to one "
            f"of {', '.join(CALENDARS)}"
        )
    if are_times and array.ndim == 1 and array.dtype.kind in "fiu" and array.size:
        largest = int(np.nanargmax(np.abs(array.values.astype(float)))) if array.notnull().any() else 0
        value, median = float(array.values[largest]), float(np.nanmedian(array.values))
        alone, typical = (xr.Variable(array.dims, np.array([x]), array.attrs) for x in (value, median))
        if _decodes(name, typical) and not _decodes(name, alone):
            return f"{name} {largest + 1} of '{path}' is {value:g} '{units}': correct it"
    if _decodes(name, array):
        return None
    limits = f"{array.values.min():g} to {array.values.max():g}" if array.size else "nothing"
    return (
        f"the times of '{path}' cannot be decoded ('{name}' runs from {limits} '{units}'"
        f"{f', calendar {calendar!r}' if calendar else ''}): give dates in units such as "
        "'days since 2001-01-01'"
    )


def _decodes(name: str, array: xr.Variable) -> bool:
    """Whether xarray decodes a variable; of times it tries the first and the last."""
    try:
        xr.conventions.decode_cf_variable(name, array, decode_timedelta=False)
    except Exception:
        return False
    return True


# The C library reads zeros beyond the end of a truncated classic NetCDF file (CDF-1, CDF-2 with 64-bit offsets, CDF-5),
# so the length is computed from the header. Layout: the NetCDF User Guide's "file format specifications"; counts,
# lengths and sizes have eight bytes in CDF-5 and four in the others. All numbers are big-endian.
#
#     header = magic  number of records  dimensions  attributes  variables


_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}  # per value, by type number


class _Header:
    """Sequential reader of a header."""

    def __init__(self, file: BinaryIO):
        self.file = file
        magic = self.take(4)
        if magic[:3] != b"CDF" or magic[3] not in (1, 2, 5):
            raise ValueError("it has no header of NetCDF 3")
        self.count_bytes = 8 if magic[3] == 5 else 4
        self.offset_bytes = 4 if magic[3] == 1 else 8

    def take(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise ValueError("it ends too early")
        return data

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def count(self) -> int:
        return self.number(self.count_bytes)

    def entries(self) -> range:
        """Indices of a list, after its tag."""
        self.number(4)
        return range(self.count())

    def skip_name(self) -> None:
        self.take(_padded(self.count()))

    def type_bytes(self) -> int:
        number = self.number(4)
        if number not in _BYTES:
            raise ValueError("its header is damaged")
        return _BYTES[number]

    def skip_attributes(self) -> None:
        for _ in self.entries():
            self.skip_name()
            size = self.type_bytes()
            self.take(_padded(size * self.count()))


def expected_size(path: str | Path) -> int:
    """Minimum number of bytes of a classic file with this header.

    Records interleave the record variables, each padded to four bytes; a single record variable is not padded.
    """
    ends: list[int] = []
    of_records: list[tuple[int, int]] = []  # beginning and size of the first record
    with open(path, "rb") as file:
        header = _Header(file)
        records = header.count()
        if records == 256**header.count_bytes - 1:  # "streaming": the writer did not record the number
            records = 0
        lengths = []
        for _ in header.entries():
            header.skip_name()
            lengths.append(header.count())
        header.skip_attributes()
        for _ in header.entries():
            header.skip_name()
            numbers = [header.count() for _ in range(header.count())]
            if any(number >= len(lengths) for number in numbers):
                raise ValueError("its header is damaged")
            shape = [lengths[number] for number in numbers]
            header.skip_attributes()
            size = header.type_bytes()
            header.count()  # the size in the header, which is truncated for variables of 4 GiB and more
            begin = header.number(header.offset_bytes)
            if shape and shape[0] == 0:  # the record dimension has the length 0
                of_records.append((begin, size * math.prod(shape[1:])))
            else:
                ends.append(begin + size * math.prod(shape))
        ends.append(file.tell())
    if records:
        sizes = [size for _, size in of_records]
        record = sum(map(_padded, sizes)) if len(sizes) > 1 else sum(sizes)
        ends += [begin + (records - 1) * record + size for begin, size in of_records]
    return max(ends)


def _padded(size: int) -> int:
    """Size rounded up to a multiple of four."""
    return -(-size // 4) * 4


def check_chunks(opened: xr.Dataset, names: Sequence[str], path: str) -> None:
    """Reject a Zarr store that lacks a chunk of one of these variables which would be read as a number.

    Zarr reads a missing chunk as the array's fill value. For a remote store the chunks are listed, a thousand per
    request.
    """
    if is_remote(path):
        is_store = not urlsplit(path).path.endswith(FILE_SUFFIXES)
    else:
        path = local(path)
        is_store = os.path.isdir(path)
    exposed = [name for name in names if is_store and _is_exposed(opened, name)]
    if not exposed:
        return
    with reading(f"'{path}'", Exception):
        group = zarr.open_group(path, mode="r", storage_options=_options(path) or None)
        for name in exposed:
            stored = group[name]
            if not isinstance(stored, zarr.Array):
                continue
            if is_remote(path) and stored.nchunks > MAX_LISTED_CHUNKS:
                LOG.warning(
                    "'%s' was not checked for missing chunks: '%s' has %d.", path, name, stored.nchunks
                )
            elif missing := stored.nchunks - stored.nchunks_initialized:
                packed = " before unpacking" if is_packed(opened[name]) else ""
                raise InputError(
                    f"'{path}' lacks {missing} of the {stored.nchunks} chunks of variable '{name}', which would be "
                    f"read as {stored.fill_value or 0:g}{packed}: copy or download it again, or, if that is their true "
                    "value, write it again with write_empty_chunks=True"
                )


def _is_exposed(opened: xr.Dataset, name: str) -> bool:
    """Whether a missing chunk would do harm; in the coordinate of a dimension it shows as a repeated value.

    It is harmless where it is read as missing values, and in integers that are not packed: Zarr does not write chunks
    that hold only its fill value, such as the zeros of a mask.
    """
    array, encoding = opened[name], opened[name].encoding
    if not array.ndim:
        return False
    if name in opened.indexes and not opened.indexes[name].is_unique:
        return True
    kind = np.dtype(encoding.get("dtype", array.dtype)).kind
    fill = encoding.get("fill_value", encoding.get("_FillValue"))  # format 2 has only the latter
    if kind not in "fiu" or (fill is not None and kind in "iu" and not is_packed(array)):
        return False
    declared = [encoding[key] for key in ("_FillValue", "missing_value") if key in encoding]
    gap = 0 if fill is None else fill
    return not (np.isnan(gap) or any(np.any(np.equal(gap, value)) for value in declared))
