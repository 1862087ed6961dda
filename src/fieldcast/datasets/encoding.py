"""Layout of an `xarray.Dataset` in a Zarr store: order of variables, text, times, chunks, and checksums."""

import json
import os
import re
import warnings
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from kedro.io.core import DatasetError
from numcodecs import CRC32C
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import LocalStore

from fieldcast.datasets.base import DamagedError, refusing_damage

# the key of a chunk: its array, and its place in it in format 3 (c/0/0) or 2 (0.0)
CHUNK = re.compile(r"(.+?)/(?:c(?:/\d+)*|\d+(?:\.\d+)*)")
# compression, then a checksum of the result, which covers the bytes as they are stored
COMPRESSORS = (BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec())
CHUNK_BYTES = 8 * 2**20
CHUNKS_PER_BLOCK = 8  # chunks that are written together
TIME_UNITS = {"s": "seconds", "us": "microseconds", "ns": "nanoseconds"}
ORDER_ATTR = "_variables"  # the attribute that keeps the order of variables, which a Zarr group does not


@contextmanager
def any_year() -> Iterator[None]:
    """Decode times without xarray's warning on years that datetime64[ns] does not cover: cftime holds them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unable to decode time axis", xr.SerializationWarning)
        yield


def decoded(data: xr.Dataset) -> xr.Dataset:
    """Undo what saving changed: the order of variables, and text as `object`."""
    data = with_text(data, str)
    order = data.attrs.pop(ORDER_ATTR, None)
    if not order or set(order) != set(data.data_vars):
        return data
    return data.drop_vars(order).assign({name: data[name] for name in order})


def with_text(data: xr.Dataset, kind: type) -> xr.Dataset:
    """Convert text to this dtype: `object` in the store, where a later piece may hold longer text, `str` in memory."""
    text: dict[Hashable, Any] = {
        name: (array.dims, np.array(array.values.tolist(), dtype=kind).reshape(array.shape), array.attrs)
        for name, array in data.variables.items()
        if array.dtype.kind in "UT"
    }
    return data.assign_coords({name: text[name] for name in text if name in data.coords}).assign(
        {name: text[name] for name in text if name in data.data_vars}
    )


def time_encoding(values: np.ndarray) -> dict[str, str]:
    """The unit of times: seconds since 1970, or a smaller one that the times need; nothing for other values and NaT.

    xarray would choose it by the first piece of a stream, and then store later times in another unit under its name.
    """
    if values.dtype.kind == "M":
        if np.isnat(values).any():
            return {}
        unit = next(unit for unit in ("s", "us", "ns") if np.all(values == values.astype(f"M8[{unit}]")))
        return {"units": f"{TIME_UNITS[unit]} since 1970-01-01", "dtype": "int64"}
    first = values.flat[0] if values.dtype == object and values.size else None
    if first is None or not hasattr(first, "calendar"):
        return {}
    unit = "us" if any(time.microsecond for time in values.flat) else "s"
    return {"units": f"{TIME_UNITS[unit]} since 1970-01-01", "dtype": "int64", "calendar": first.calendar}


def chunks_of(array: xr.Variable, requested: Mapping[str, int]) -> tuple[int, ...]:
    """Chunk sizes as requested; otherwise whole fields, as many as fit into about 8 MiB."""
    shape = [max(size, 1) for size in array.shape]
    if any(dim in requested for dim in array.dims):
        return tuple(
            min(requested.get(str(dim), size), size) for dim, size in zip(array.dims, shape, strict=True)
        )
    room = max(1, CHUNK_BYTES // max(array.dtype.itemsize, 1))
    chunks = []
    for size in reversed(shape):
        chunks.append(min(size, max(1, room)))
        room //= chunks[-1]
    return tuple(reversed(chunks))


def power_of_two(array: xr.Variable, size: int) -> tuple[int, ...]:
    """Chunks of whole fields, a power of two of them, of at most `size` bytes."""
    fields = max(1, size // max(1, array.dtype.itemsize * int(np.prod(array.shape[1:]))))
    return min(2 ** (fields.bit_length() - 1), max(array.shape[0], 1)), *(max(n, 1) for n in array.shape[1:])


def evenly_chunked(data: xr.Dataset, size: int | None = None) -> xr.Dataset:
    """Rechunk to the largest chunks that dask has along each dimension, as Zarr needs chunks of one size.

    With `size`, blocks of whole fields hold a few chunks of `size` bytes.
    """
    even = {}
    for name, array in data.variables.items():
        if array.chunks is None or not array.ndim:
            continue
        largest = [max(sizes) for sizes in array.chunks]
        lengths = (
            largest if size is None else [CHUNKS_PER_BLOCK * power_of_two(array, size)[0], *array.shape[1:]]
        )
        even[str(name)] = data[name].chunk(dict(zip(array.dims, lengths, strict=True)))
    return data.assign_coords({n: a for n, a in even.items() if n in data.coords}).assign(
        {n: a for n, a in even.items() if n in data.data_vars}
    )


class CheckedStore(LocalStore):
    """A local Zarr store (format 2 or 3) that raises DamagedError for a chunk that is missing or fails its checksum.

    Zarr reads a missing chunk as fill values, which is right for stores that omit such chunks. Arrays with checksums
    have all their chunks written; arrays without, which another program wrote, are read as Zarr reads them.
    A store that has been replaced since it was opened raises DatasetError: its chunks would be those of another one.
    """

    def __init__(self, root: Path | str, *, read_only: bool = True) -> None:
        """root: the folder of the store."""
        super().__init__(root, read_only=read_only)
        self._arrays: dict[str, bool] = {}  # whether the chunks of each array have checksums
        self._opened = self._identity()

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Read an object of the store, and check it if it is a chunk."""
        content = await super().get(key, prototype, byte_range)
        match = CHUNK.fullmatch(key)
        if match and self._identity() != self._opened:
            raise DatasetError(f"'{self.root}' has been replaced since it was opened: load it again")
        if match and byte_range is None and self._has_checksums(match[1]):
            self._check(key, content)
        return content

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.root)
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _check(self, key: str, content: Any) -> None:
        if content is None:
            raise DamagedError(str(self.root), f"its chunk {key} is missing")
        try:
            CRC32C().decode(content.as_numpy_array())
        except (RuntimeError, ValueError) as error:
            raise DamagedError(str(self.root), f"its chunk {key} does not match its checksum") from error

    def _has_checksums(self, array: str) -> bool:
        if array not in self._arrays:
            files = [self.root / array / name for name in ("zarr.json", ".zarray")]
            metadata = next((file for file in files if file.exists()), None)
            if metadata is None:
                raise DamagedError(str(self.root), f"the metadata of its array {array} are missing")
            with refusing_damage(str(self.root)):
                described = json.loads(metadata.read_bytes())
                last = (described.get("codecs") or described.get("filters") or [{}])[-1]
                self._arrays[array] = "crc32c" in (last.get("id"), last.get("name"))
        return self._arrays[array]
