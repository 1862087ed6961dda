"""Iterate over data in blocks of time, so that memory use does not grow with the length of the record."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

BLOCK_BYTES = 64 * 2**20
SMALL_BLOCK_BYTES = 4 * 2**20  # size of a block that is copied several times in double precision


def in_memory(data: xr.Dataset | xr.DataArray) -> bool:
    """Whether all values are in memory, so that none is read from a store on demand."""
    variables = data.variables.values() if isinstance(data, xr.Dataset) else [data.variable]
    return all(variable._in_memory for variable in variables)


def blocks(array: xr.DataArray, size: int = BLOCK_BYTES) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (slice of time, values) in order; lazily opened data follow their own chunks, each read once.

    Other data come in blocks of about `size` bytes.
    """
    array = array.transpose("time", ...)
    if array.chunks is not None:
        lengths = list(array.chunks[0])
    else:
        per_time = max(1, array.dtype.itemsize * array[:1].size)
        length = max(1, size // per_time)
        lengths = [min(length, array.sizes["time"] - i) for i in range(0, array.sizes["time"], length)]
    start = 0
    for length in lengths:
        span = slice(start, start + length)
        yield span, np.asarray(array.isel(time=span).values)
        start += length
