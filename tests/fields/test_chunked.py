"""Blocks put together are the array, whatever their size and wherever the data are."""

import numpy as np
import pytest
import xarray as xr

from fieldcast.fields import chunked


@pytest.mark.parametrize("chunks", [None, 1, 4, 10])
def test_blocks_cover_all_times_once(chunks: int | None) -> None:
    array = xr.DataArray(np.arange(60.0).reshape(10, 2, 3), dims=("time", "latitude", "longitude"))
    parts = list(chunked.blocks(array if chunks is None else array.chunk(time=chunks), 3 * 6 * 8))
    assert len(parts) == {None: 4, 1: 10, 4: 3, 10: 1}[chunks]
    assert np.array_equal(np.concatenate([x for _, x in parts]), array)
    assert all(np.array_equal(array[span], x) for span, x in parts)
