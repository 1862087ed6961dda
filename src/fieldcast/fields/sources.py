"""Open a user's source lazily, in the layout of the contract: one or more NetCDF files or Zarr stores."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import prod

import numpy as np
import xarray as xr

from fieldcast import calendars
from fieldcast.calendars import require_same_calendar, step_of
from fieldcast.errors import InputError
from fieldcast.fields.containers import format_of, is_archive, is_netcdf, unpacked
from fieldcast.fields.conventions import (
    LEFT_OUT,
    MASK,
    PREDICTORS,
    RENAMED,
    require_variables,
    select_variables,
    to_contract,
    units_of,
)
from fieldcast.fields.domain import blocks
from fieldcast.fields.encoding import join_encodings
from fieldcast.fields.opening import check_chunks, open_file, reading
from fieldcast.fields.options import Source
from fieldcast.fields.paths import is_remote, local, matches, names_files, require
from fieldcast.fields.repair import refuse_far_years
from fieldcast.fields.selection import select_part
from fieldcast.fields.splits import within
from fieldcast.fields.times import as_record
from fieldcast.geometry import points_of, require_same_grid

MIN_READ_BYTES = 2**20  # bytes


def open_source(source: Source, part: bool = False) -> xr.Dataset:
    """Open the selected variables, period and step lazily (dask), on (time, latitude, longitude) in float32.

    A `part` of a record may lack the mask of the whole.
    """
    parts: list[tuple[str, xr.Dataset]] = []
    notes: dict[str, dict[str, str]] = {}
    given = source.predictors or []
    others = [name for name in given if is_remote(name) or names_files(name)]
    predictors = [name for name in given if name not in others]
    wanted = None
    if source.variables is not None:
        wanted = [*dict.fromkeys(v for v in (*source.variables, *predictors) if v != source.mask), MASK]
    names_there: list[str] = []
    for path in expanded(source.paths):
        opened = _part(path, source)
        names_there += [str(name) for name, array in opened.data_vars.items() if array.ndim]
        check_chunks(opened, [str(name) for name in opened.coords], path)
        with reading(f"'{path}'", OSError, RuntimeError):
            here = to_contract(_chunked(opened), f"'{path}'", wanted, source.levels, source.fills_gaps)
        for key in (LEFT_OUT, RENAMED):
            if note := here.attrs.pop(key, {}):
                notes[key] = notes.get(key, {}) | note
        aliases = {name for array in here.data_vars.values() for name in array.attrs["aliases"].split()}
        check_chunks(opened, [str(name) for name in opened.data_vars if name in aliases], path)
        if here.data_vars:
            parts.append((path, here))
    of_files = [
        (path, _predictors_in(path, source))
        for path in (expanded(others, "ingestion.predictors") if others else ())
    ]
    if taken := [
        name for _, part in of_files for name in part.data_vars if any(name in each for _, each in parts)
    ]:
        raise InputError(
            f"ingestion.predictors: '{taken[0]}' is a variable of {source.label}, too: rename it in one of "
            "them, or drop it."
        )
    of_others = list(dict.fromkeys(str(name) for _, part in of_files for name in part.data_vars))
    dataset = join_files([*parts, *of_files])
    dataset.attrs |= notes
    if source.mask is not None and MASK not in dataset and not part:
        there = ", ".join(f"'{name}'" for name in dict.fromkeys(names_there))
        raise InputError(
            f"ingestion.mask: there is no variable '{source.mask}' in {source.label}, only {there}: name one of these."
        )
    if wanted is not None:
        names = dataset if parts else to_contract(opened, source.label)
        present = [name for name in (*wanted, *of_others) if name != MASK or MASK in dataset]
        dataset = select_variables(names, present, source.label)
    require_variables(dataset, source.label)
    if given:
        named = select_variables(dataset, predictors, source.label, "ingestion.predictors")
        dataset.attrs[PREDICTORS] = [*map(str, named.data_vars), *of_others]
    if source.period is not None:
        inside = within(dataset["time"], source.period, "ingestion.period", source.label)
        dataset = dataset.isel(time=np.flatnonzero(inside))
    if source.step_hours is not None:
        dataset = _every(dataset, source.step_hours, source.label)
    for name in dataset.data_vars:
        dataset[name].attrs.pop("aliases", None)
    return dataset


def _predictors_in(path: str, source: Source) -> xr.Dataset:
    """The variables of another file, which are predictors, in the region of a source."""
    opened = _part(path, replace(source, where=None, mask=None))
    with reading(f"'{path}'", OSError, RuntimeError):
        part = to_contract(_chunked(opened), f"'{path}'", None, None, source.fills_gaps)
    part = part[[str(name) for name in part.data_vars if "time" in part[name].dims]]
    part.attrs.clear()
    if not part.data_vars:
        raise InputError(
            f"ingestion.predictors: '{path}' holds no variable on (time, y, x): name another file."
        )
    return part


def open_layout(source: Source) -> xr.Dataset:
    """Open the part of the first file that a source selects, as it is.

    Its names, order and attributes stand for those of the other files.
    """
    return _part(expanded(source.paths)[0], source).drop_vars(MASK, errors="ignore")


def _part(path: str, source: Source) -> xr.Dataset:
    """Open the part of a file that the options `region` and `where` select, with its mask."""
    opened = as_record(open_file(path), f"'{path}'")
    if source.where is not None or source.mask is not None:
        opened = _chunked(opened)  # compared only where values are read
    return select_part(opened, source.region, source.where, f"'{path}'", "ingestion", source.mask)


def expanded(patterns: Sequence[str], option: str = "ingestion.path") -> list[str]:
    """Expand globs, folders and archives: all files and stores, those of each sorted by name."""
    paths: list[str] = []
    for pattern in patterns:
        is_glob = not is_remote(pattern) and glob.has_magic(pattern)
        require(pattern, option)
        for path in matches(pattern) if is_glob else _files_in(pattern):
            paths += [path] if is_remote(path) or not is_archive(local(path)) else unpacked(local(path))
    if not paths:
        raise InputError(f"{option} names no file: give a NetCDF file, a Zarr store, or a glob")
    return paths


def _files_in(path: str) -> list[str]:
    """NetCDF files and archives in a folder that is no Zarr store; the path itself if there are none."""
    if is_remote(path) or not os.path.isdir(local(path)):
        return [path]
    files = sorted(
        entry.path for entry in os.scandir(local(path)) if entry.is_file() and entry.stat().st_size
    )
    return [file for file in files if is_netcdf(format_of(file)) or is_archive(file)] or [path]


def _chunked(opened: xr.Dataset) -> xr.Dataset:
    """Chunk numeric variables with dask, in multiples of the file's chunks of at least `MIN_READ_BYTES` bytes."""
    lazy = {}
    for name, array in opened.data_vars.items():
        if array.ndim and array.dtype.kind in "fiu":
            chunk = dict(array.encoding.get("preferred_chunks") or {**array.sizes, array.dims[0]: 1})
            size = array.dtype.itemsize * prod(chunk.values())
            first = array.dims[0]
            chunk[first] = min(array.sizes[first], chunk[first] * max(1, MIN_READ_BYTES // size))
            lazy[name] = array if array.chunks else array.chunk(chunk)
    return opened.assign(lazy)


def _every(dataset: xr.Dataset, step_hours: float, where: str) -> xr.Dataset:
    """Select fields whose hours since the first are a multiple of the step."""
    step = step_of(dataset["time"])
    if step.months:
        raise InputError(
            f"ingestion.step_hours is {step_hours:g}, but {where} has a step of {step}: leave ingestion.step_hours out"
        )
    multiple = step_hours / step.hours if step.hours else 1.0
    if multiple < 1 - 1e-6 or abs(multiple - round(multiple)) > 1e-6:
        raise InputError(
            f"ingestion.step_hours is {step_hours:g}, but {where} has a step of {step.hours:g} hours: "
            "give a multiple of that"
        )
    hours = calendars.hours(dataset["time"])
    return dataset.isel(time=np.flatnonzero(np.abs(np.remainder(hours + 1e-6, step_hours)) < 1e-3))


# Join several files: concatenate files of the same variables in time, merge files of different variables.


def join_files(parts: Sequence[tuple[str, xr.Dataset]]) -> xr.Dataset:
    """Join the data sets of several files, given as (path, data set) in the order of the paths."""
    if not parts:
        return xr.Dataset()
    first_path, first = parts[0]
    groups: dict[tuple[str, ...], list[tuple[str, xr.Dataset]]] = {}
    for path, part in parts:
        names = f"'{path}'", f"'{first_path}'"
        require_same_grid(part, first, *names, "give files on the same grid")
        if not np.allclose(points_of(part), points_of(first), atol=1e-6):
            raise InputError(
                f"the cells of {names[0]} are not those of {names[1]}: give files on the same grid."
            )
        require_same_calendar(part["time"], first["time"], *names)
        if (
            part["time"].dtype.kind != first["time"].dtype.kind
        ):  # one of them is beyond the range of datetime64
            refuse_far_years(part["time"], names[0])
            refuse_far_years(first["time"], names[1])
        groups.setdefault(tuple(sorted(map(str, part.data_vars))), []).append((path, part))
    records = [(group[0][0], _concatenated(group)) for group in groups.values()]
    times = records[0][1]["time"].values
    for path, record in records:
        if not np.array_equal(record["time"].values, times):
            of_both = record, records[0][1]
            if (MASK in record) != (MASK in records[0][1]):
                mask = next(each[MASK].long_name for each in of_both if MASK in each)
                raise InputError(
                    f"'{path}' has other times than '{first_path}', and only one of them has the mask '{mask}': give "
                    "the mask at the times of the data."
                )
            held = [", ".join(f"'{name}'" for name in each.data_vars) for each in of_both]
            raise InputError(
                f"'{path}' has other times than '{first_path}', and other variables ({held[0]}, not {held[1]}): give "
                "files of the same period, or rename what is one variable"
            )
    for (path, record), (other_path, other) in combinations(records, 2):
        for name in (name for name in record.data_vars if name in other.data_vars):
            if difference := _difference(record[name], other[name]):
                called = f"the mask '{record[name].long_name}'" if name == MASK else f"'{name}'"
                raise InputError(
                    f"{called} has other {difference} in '{other_path}' than in '{path}': drop it from one of them"
                )
    return xr.merge(
        [record for _, record in records], join="exact", compat="override", combine_attrs="override"
    )


def _difference(x: xr.DataArray, y: xr.DataArray) -> str:
    """The first of dimensions, units and values in which two variables differ; empty if they are equal."""
    if set(x.dims) != set(y.dims):
        return "dimensions"
    if units_of(x) != units_of(y):
        return "units"
    y = y.transpose(*x.dims)
    if "time" not in x.dims:
        return "" if np.array_equal(x.values, y.values, equal_nan=True) else "values"
    x, y = x.transpose("time", ...), y.transpose("time", ...)
    equal = all(np.array_equal(values, y[span].values, equal_nan=True) for span, values in blocks(x))
    return "" if equal else "values"


def _concatenated(group: Sequence[tuple[str, xr.Dataset]]) -> xr.Dataset:
    """Concatenate in time, keeping the encodings of every file."""
    path, first = group[0]
    for other, part in group[1:]:
        for name in part.data_vars:
            expected, units = (units_of(dataset[name]) for dataset in (first, part))
            if expected != units:
                raise InputError(
                    f"'{name}' {expected} in '{path}' and {units} in '{other}': convert one of them, or correct its "
                    "attribute 'units'"
                )
    if len(group) == 1:
        return first
    return xr.concat(
        [part for _, part in group], dim="time", data_vars="minimal", coords="minimal", compat="override",
        join="override", combine_attrs=join_encodings,
    )  # fmt: skip
