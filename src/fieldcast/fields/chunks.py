"""Chunks that a Zarr store lacks: Zarr reads each as the array's fill value, without a word.

That is NaN where the fill value is declared as missing, and anywhere else a number such as `add_offset`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr

from fieldcast.errors import InputError
from fieldcast.fields.packing import is_packed

LOG = logging.getLogger(__name__)
LISTED = 20_000  # chunks of a remote array that are asked for: twenty requests


def refuse_lacking(
    opened: xr.Dataset, names: Iterable[str], path: str, options: Mapping[str, Any] | None = None
) -> None:
    """One sentence for the first of these variables that lacks a chunk which would be read as a number.

    `opened` is the Zarr store at `path`; `options` are fsspec's. Of a store at an address the names of the chunks are
    asked for, a thousand a request, and of these variables alone.
    """
    doubtful = [name for name in names if opened[name].dtype.kind in "fiu" and opened[name].ndim]
    group = zarr.open_group(path, mode="r", storage_options=dict(options) if options else None)
    for name in doubtful:
        stored = group[name]
        if not isinstance(stored, zarr.Array) or _may_lack(stored.fill_value, opened[name]):
            continue
        if "://" in path and stored.nchunks > LISTED:
            LOG.warning("whether '%s' has all %d chunks of '%s' was not checked.", path, stored.nchunks, name)
            continue
        lacking = stored.nchunks - stored.nchunks_initialized
        if lacking:
            packed = " before unpacking" if is_packed(opened[name]) else ""
            raise InputError(
                f"'{path}' lacks {lacking} of the {stored.nchunks} chunks of variable '{name}', which would be read "
                f"as {stored.fill_value or 0:g}{packed}: copy or download it again, or, if they hold nothing else, "
                "write it again with write_empty_chunks=True"
            )


def _may_lack(fill: Any, array: xr.DataArray) -> bool:
    """Whether what is read from a chunk that lacks is a missing value, or a plain whole number that may be meant.

    Zarr leaves chunks out that hold its fill value alone, such as the zeros of a mask.
    """
    kind = np.dtype(array.encoding.get("dtype", array.dtype)).kind
    if fill is not None and kind in "iu" and not is_packed(array):
        return True
    declared = [array.encoding[key] for key in ("_FillValue", "missing_value") if key in array.encoding]
    gap = 0 if fill is None else fill
    return bool(np.isnan(gap) or any(np.any(np.equal(gap, value)) for value in declared))
