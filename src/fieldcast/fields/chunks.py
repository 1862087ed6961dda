"""Detect missing chunks of a Zarr store, which Zarr silently reads as the array's fill value.

They become NaN if the fill value is declared as missing, and otherwise a number such as `add_offset`.
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

    Raises
    ------
    InputError
        Naming the first incomplete variable.
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
