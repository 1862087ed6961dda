"""Data sets that are read in parts, because they may not fit in memory."""

import logging
from typing import Any

import xarray as xr

from fieldcast.datasets.encoding import CHUNK_BYTES, any_year
from fieldcast.datasets.memory import available

LOG = logging.getLogger(__name__)

ANNOUNCED: set[str] = set()  # paths that the log has mentioned
COARSE_BYTES = 1e8  # sizes below this many bytes are logged in MB
MEMORY_SHARE = 0.25  # largest share of the available memory that a data set may take by default


def opened_in_parts(store: Any) -> xr.Dataset:
    """Open a store without dask: indexing reads what is indexed, and nothing large is kept.

    Reading is twice as fast as through dask. Variables of at most one chunk are loaded.
    """
    # no masking: NaN already stands for missing values, and replacing it would cost as much as reading
    with any_year():
        data = xr.open_dataset(store, engine="zarr", chunks=None, cache=False, mask_and_scale=False)
        for array in data.variables.values():
            array.attrs.pop("_FillValue", None)
            if array.nbytes <= CHUNK_BYTES:
                array.load()
    return data


def loaded_if_small(data: xr.Dataset, location: str, share: float = MEMORY_SHARE) -> xr.Dataset:
    """Load data that take at most a share of the memory available; leave larger data on the disk, and say so."""
    memory = available()
    if data.nbytes <= share * memory:
        return data.load()
    if location not in ANNOUNCED:
        ANNOUNCED.add(location)
        LOG.info(
            "'%s' (%s) takes more than %.0f %% of the memory available (%s): it is read in parts.",
            location, _size(data.nbytes), 100 * share, _size(memory),
        )  # fmt: skip
    return data


def _size(count: int) -> str:
    """A number of bytes for the log: in MB where 0.1 GB would be too coarse."""
    return f"{count / 1e9:.1f} GB" if count >= COARSE_BYTES else f"{count / 1e6:.1f} MB"


def with_dask(data: xr.Dataset) -> xr.Dataset:
    """Give dask the arrays that are read in parts, in the chunks of their store, to write them block by block."""
    parts = {
        str(name): array.chunk(array.encoding.get("preferred_chunks", {}))
        for name, array in data.variables.items()
        if array.chunks is None and not array._in_memory  # xarray has no public name for it
    }
    return data.assign_coords({n: a for n, a in parts.items() if n in data.coords}).assign(
        {n: a for n, a in parts.items() if n in data.data_vars}
    )
