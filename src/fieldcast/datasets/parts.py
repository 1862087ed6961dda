"""Data sets that are read in parts, because they may not fit in memory."""

import logging
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xarray as xr

from fieldcast.datasets.encoding import CHUNK_BYTES, any_year

LOG = logging.getLogger(__name__)

ANNOUNCED: set[str] = set()  # paths that the log has mentioned
COARSE_BYTES = 1e8  # sizes below this many bytes are logged in MB
UNLIMITED = 2**60  # control groups without a limit give a huge number
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


# The memory that this process may still take: of the machine, of its control group, and under its own limits.


def available() -> int:
    """Bytes that this process may still take: the least of the limits that the system reports."""
    return max(0, min(_available()))


def _available() -> Iterator[int]:
    yield _status(
        Path("/proc/meminfo"), "MemAvailable", os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    )
    for limit, used in _control_groups():
        yield limit - used
    for kind, name in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - _status(Path("/proc/self/status"), name, 0)


def _status(path: Path, name: str, otherwise: int) -> int:
    """A line of kilobytes in a file of the kernel, in bytes."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return otherwise
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), otherwise)


def _control_groups() -> Iterator[tuple[int, int]]:
    """Limit and use of the memory of this process's control groups, of version 1 or 2."""
    root = Path("/sys/fs/cgroup")
    for folder, limit, used in (
        (root, "memory.max", "memory.current"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
            group = next(group[2] for group in groups if group[1] == ("memory" if folder != root else ""))
        except (OSError, StopIteration):
            continue
        for directory in (folder, folder / group.lstrip("/")):  # the first is that of a container
            try:
                size, in_use = int((directory / limit).read_text()), int((directory / used).read_text())
            except (OSError, ValueError):  # "max": no limit
                continue
            if size < UNLIMITED:
                yield size, in_use
