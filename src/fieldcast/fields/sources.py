"""Open a user's source lazily, in the layout of the contract: one or more NetCDF files or Zarr stores."""

import glob
from collections.abc import Sequence
from math import prod

import numpy as np
import xarray as xr

from fieldcast import calendars
from fieldcast.errors import InputError
from fieldcast.fields.conventions import select_variables, time_varying, to_contract
from fieldcast.fields.joining import join_files
from fieldcast.fields.opening import check_chunks, open_file, reading
from fieldcast.fields.options import Source
from fieldcast.fields.paths import is_remote, matches, require
from fieldcast.fields.periods import within
from fieldcast.time_steps import step_of

MIN_READ_BYTES = 2**20  # bytes


def open_source(source: Source) -> xr.Dataset:
    """Open the selected variables, period and step lazily (dask), on (time, latitude, longitude) in float32.

    Raises
    ------
    InputError
        For a file that is missing, truncated, empty or of another format, a store that cannot be reached, or a
        variable or period that the source does not have.
    """
    parts = []
    for path in _expanded(source.paths):
        opened = open_file(path)
        check_chunks(opened, [str(name) for name in opened.coords], path)
        with reading(f"'{path}'", OSError, RuntimeError):
            part = to_contract(_chunked(opened), f"'{path}'", source.variables, source.levels)
        aliases = {name for array in part.data_vars.values() for name in array.attrs["aliases"].split()}
        check_chunks(opened, [str(name) for name in opened.data_vars if name in aliases], path)
        if part.data_vars:
            parts.append((path, part))
    dataset = join_files(parts)
    if source.variables is not None:
        names = dataset if parts else to_contract(opened, source.where)
        dataset = select_variables(names, source.variables, source.where)
    if not time_varying(dataset):
        raise InputError(
            f"{source.where} has no variable on (time, latitude, longitude): choose another file"
        )
    if source.period is not None:
        inside = within(dataset["time"], source.period, "ingestion.period", source.where)
        dataset = dataset.isel(time=np.flatnonzero(inside))
    if source.step_hours is not None:
        dataset = _every(dataset, source.step_hours, source.where)
    for name in dataset.data_vars:
        dataset[name].attrs.pop("aliases", None)
    return dataset


def open_layout(source: Source) -> xr.Dataset:
    """Open the first file of a source as it is, whose names, order and attributes stand for those of the others."""
    return open_file(_expanded(source.paths)[0])


def _expanded(patterns: Sequence[str]) -> list[str]:
    """Expand globs: all files and stores, those of each glob sorted by name."""
    paths: list[str] = []
    for pattern in patterns:
        is_glob = not is_remote(pattern) and glob.has_magic(pattern)
        require(pattern, "ingestion.path")
        paths += matches(pattern) if is_glob else [pattern]
    if not paths:
        raise InputError("ingestion.path names no file: give a NetCDF file, a Zarr store, or a glob")
    return paths


def _chunked(opened: xr.Dataset) -> xr.Dataset:
    """Chunk numeric variables with dask, in multiples of the file's chunks of at least `MIN_READ_BYTES` bytes."""
    lazy = {}
    for name, array in opened.data_vars.items():
        if array.ndim and array.dtype.kind in "fiu":
            chunk = dict(array.encoding.get("preferred_chunks") or {**array.sizes, array.dims[0]: 1})
            size = array.dtype.itemsize * prod(chunk.values())
            first = array.dims[0]
            chunk[first] = min(array.sizes[first], chunk[first] * max(1, MIN_READ_BYTES // size))
            lazy[name] = array.chunk(chunk)
    return opened.assign(lazy)


def _every(dataset: xr.Dataset, step_hours: float, where: str) -> xr.Dataset:
    """Select fields whose hours since the first are a multiple of the step."""
    step = step_of(dataset["time"])
    if step.months:
        raise InputError(
            f"ingestion.step_hours is {step_hours:g}, but {where} has a step of {step}: leave ingestion.step_hours out"
        )
    native = step.hours
    multiple = step_hours / native if native else 1.0
    if multiple < 1 - 1e-6 or abs(multiple - round(multiple)) > 1e-6:
        raise InputError(
            f"ingestion.step_hours is {step_hours:g}, but {where} has a step of {native:g} hours: "
            "give a multiple of that"
        )
    hours = calendars.hours(dataset["time"])
    return dataset.isel(time=np.flatnonzero(np.abs(np.remainder(hours + 1e-6, step_hours)) < 1e-3))
