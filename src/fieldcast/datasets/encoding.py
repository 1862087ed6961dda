"""Layout of an `xarray.Dataset` in a Zarr store: order of variables, text, times, chunks, checksums."""

import warnings
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr
from numcodecs import Blosc, VLenUTF8
from numcodecs.abc import Codec

from fieldcast.datasets.checked import CHECKSUM

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


def filters_of(array: xr.Variable) -> list[Codec]:
    """Filters that turn a chunk into bytes: Zarr's default compression, then a checksum of the result."""
    text = array.dtype.kind == "O" and (not array.size or isinstance(array.values.flat[0], str))
    return [*([VLenUTF8()] if text else []), Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE), CHECKSUM]


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
