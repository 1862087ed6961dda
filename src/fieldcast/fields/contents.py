"""The content of files, for a first look: a part that is quickly read, variables, gaps, and flags of quality."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Int

from fieldcast.errors import InputError
from fieldcast.fields import domain
from fieldcast.fields.containers import format_of, is_archive, is_netcdf
from fieldcast.fields.conventions import as_dataset, axes, time_varying
from fieldcast.fields.encoding import declared_encoding, flags_of
from fieldcast.fields.meaning import nature_of, sampled_values
from fieldcast.fields.opening import check_chunks, open_file, reading
from fieldcast.fields.options import Source
from fieldcast.fields.paths import is_remote, local, require
from fieldcast.fields.selection import satisfying
from fieldcast.fields.sources import expanded, open_layout, open_source
from fieldcast.fields.table_layouts import SUFFIXES
from fieldcast.fields.times import as_record
from fieldcast.geometry import GRID

READ_VALUES = 50_000_000  # largest number of values that are read: 200 MB in single precision
FEWEST_TIMES = 100  # times of a part below which cells are left out rather than times
MAX_MEANINGS = 40  # values of a flag that are counted
ENDS = 5, 95  # percentiles between which values are said to lie
GOOD = re.compile(r"(^|_)(good|best|acceptable|high_quality|passed|valid|clear|ok)(_|$)", re.I)
NOT_GOOD = re.compile(r"(^|_)(not?|in|un|probably|possibly|bad|suspect)(_|$)", re.I)
BAD_BITS = re.compile(
    r"(^|_)(land|cloud(s|y)?|cldice|(sea)?ice|(hi|high|mod)?glint|hilt|[a-z]*fail(ed|ure)?|stray_?light|bad|invalid"
    r"|saturated)(_|$)",
    re.I,
)
NOT_BAD = re.compile(r"(^|_)(no|not|non|free|clear|without|ok)(_|$)", re.I)


# A part that is quickly read.


class Part(NamedTuple):
    """Some times of a data set, and every n-th cell; `text` says which, and is empty for the whole."""

    times: slice | Int[np.ndarray, " n"] = slice(None)
    every: int = 1
    text: str = ""

    def of(self, dataset: xr.Dataset, times: bool = True) -> xr.Dataset:
        """Select the part of a data set in any layout; without `times`, its cells at all times."""
        along, grid = dimensions(dataset)
        cells = {dim: slice(None, None, self.every) for dim in grid}
        return dataset.isel({along: self.times, **cells} if times else cells) if self.text else dataset


def dimensions(dataset: xr.Dataset) -> tuple[str, list[str]]:
    """The dimension of times, and those of the grid; empty for a data set that has none."""
    names = axes(dataset)
    along = [str(dim) for dim in dataset[names["time"]].dims] if "time" in names else []
    grid = [str(dim) for axis in GRID if axis in names for dim in dataset[names[axis]].dims]
    return "".join(along[:1]), [dim for dim in dict.fromkeys(grid) if dim not in along]


def last_part(dataset: xr.Dataset, values: int, fewest: int = FEWEST_TIMES, cost: int = 0) -> Part:
    """The last successive times with at most so many values on the grid; every n-th cell if `fewest` do not fit.

    n is the same along both axes of the grid, and the smallest with which the part fits. `cost` is what a time counts
    beside its values.
    """
    along, grid = dimensions(dataset)
    if not along or not grid:
        return Part()
    of_grid = [array for array in dataset.data_vars.values() if {along, *grid} <= {*array.dims}]
    total = dataset.sizes[along]

    def size(n: int) -> int:
        """Values of one time, with every n-th cell."""
        shapes = [{d: -(-k // n) if d in grid else k for d, k in array.sizes.items()} for array in of_grid]
        return cost + sum(math.prod(k for d, k in shape.items() if d != along) for shape in shapes)

    n, least = 1, min(total, fewest)
    while n < max(dataset.sizes[dim] for dim in grid) and size(n) * least > values:
        n += 1
    number = max(1, min(total, values // max(1, size(n))))
    if n == 1 and number == total:
        return Part()
    time = dataset[axes(dataset)["time"]].values
    last = np.sort(np.argsort(time, kind="stable")[total - number :])
    begin, end = int(last[0]), int(last[-1]) + 1
    times = slice(begin, end) if end - begin == number else last
    texts = [f"the last {number} of {total} times"] * (number < total)
    texts += [f"every {ordinal(n)} cell of a row and of a column"] * (n > 1)
    return Part(times, n, " and ".join(texts))


def ordinal(n: int) -> str:
    """2nd, 3rd, 4th."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{n}{'th' if n % 100 in (11, 12, 13) else endings.get(n % 10, 'th')}"


# Files: tables of readings, and fields, of which a part is read.


def table_in(path: str, notes: list[str]) -> str:
    """The largest table in a folder that has no fields; any other path is returned as it is."""
    folder = local(path)
    if is_remote(path) or not os.path.isdir(folder):
        return path
    files = [entry.path for entry in os.scandir(folder) if entry.is_file() and entry.stat().st_size]
    tables = [file for file in files if Path(file).suffix.lower() in SUFFIXES]
    if not tables or len(tables) < len(files):
        return path
    largest = max(sorted(tables), key=os.path.getsize)
    if len(tables) > 1:
        notes.append(
            f"Of the {len(tables)} tables in the folder, the largest is read, {os.path.basename(largest)}."
        )
    return largest


def is_table(path: str) -> bool:
    """Whether a path is a table, or NetCDF of readings along tracks, and not fields."""
    if is_remote(path) or not os.path.isfile(local(path)) or not os.path.getsize(local(path)):
        return False
    kind = format_of(local(path))
    if kind == "parquet" or Path(path).suffix.lower() in (".xls", ".xlsx", ".xlsm", ".xlsb", ".ods"):
        return True
    if is_netcdf(kind):
        with open_file(path, "explore") as opened:
            names = axes(opened)
            return len(names) == 3 and len({opened[each].dims for each in names.values()}) == 1
    compressed = is_archive(local(path)) and Path(Path(path).stem).suffix.lower() in (
        ".csv",
        ".txt",
        ".tsv",
        ".dat",
    )
    return compressed or kind == ""


class Record(NamedTuple):
    """Fields as they were given, in part."""

    name: str
    dataset: xr.Dataset  # in memory
    layout: (
        xr.Dataset | None
    )  # that of results, if it is not that of the data set: the first of several files
    where: str  # as messages name it
    path: str | None
    text: str  # the part that is there; empty for the whole

    def last(self, values: int, cost: int = 0) -> Record:
        """The last times with at most so many values, see `last_part`."""
        part = last_part(self.dataset, values, cost=cost)
        if not part.text:
            return self
        layout = None if self.layout is None else part.of(self.layout, times=False)
        return self._replace(dataset=part.of(self.dataset).load(), layout=layout, text=part.text)

    def only(self, where: str | None) -> Record:
        """The values that satisfy a condition, see `fields.conditions`."""
        return self if where is None else self._replace(dataset=satisfying(self.dataset, where, self.where))


def read_record(data: str | xr.Dataset | xr.DataArray, condition: str | None = None) -> Record:
    """The part of fields that is read, at most `READ_VALUES`, with the values that satisfy a condition."""
    if not isinstance(data, str):
        dataset = as_record(as_dataset(data, "the data set"), "the data set")
        return (
            Record("the data set", dataset, None, "the data set", None, "").last(READ_VALUES).only(condition)
        )
    require(data, "fieldcast explore FILE")
    where, name = f"'{data}'", os.path.basename(data.rstrip("/")) or data
    paths = expanded([data])
    if len(paths) == 1:
        opened, layout = as_record(open_file(paths[0], "explore"), where), None
        check_chunks(opened, [str(name) for name in opened.variables], paths[0])
    else:
        files = Source(path=data, where=condition, gaps="insert", missing="train")
        opened, layout, condition = open_source(files), open_layout(files), None
    with reading(where, OSError, RuntimeError, ValueError):
        record = Record(name, opened, layout, where, data, "").last(READ_VALUES)
        if record.dataset.nbytes > 8 * READ_VALUES:
            # axes are not recognised, or other variables are large: what is used is read where it is
            return (
                record
                if condition is None
                else record._replace(dataset=record.dataset.chunk()).only(condition)
            )
        return record._replace(dataset=record.dataset.load()).only(condition)


# Variables and their gaps.


def variables_table(fields: xr.Dataset) -> pd.DataFrame:
    """One row for each variable of fields that ingestion made, with what its numbers mean and what is missing.

    Columns: variable, long_name, units; numbers (linear, positive, bounded or an angle), low and high, the 5th and 95th
    percentile; cells that ever have a value; missing, the share of the values of these cells; empty_times; and
    longest_gap, the most successive times of a cell without a value.
    """
    table, exists = [], domain.exists(fields)
    for name in time_varying(fields):
        array = fields[name]
        x = array.values.reshape(array.sizes["time"], -1)
        missing = np.isnan(x[:, exists.sel(variable=name).values.ravel()])
        present = sampled_values(array)
        low, high = np.percentile(present, ENDS)
        table.append(
            {
                "variable": name, "long_name": str(array.attrs.get("long_name", "")).replace(name, ""),
                "units": array.attrs["units"],
                "numbers": nature_of(array, present).meaning, "low": float(low), "high": float(high),
                "cells": missing.shape[1], "missing": float(missing.mean()),
                "empty_times": int(missing.all(1).sum()), "longest_gap": longest_run(missing),
            }
        )  # fmt: skip
    return pd.DataFrame(table)


def longest_run(missing: Bool[np.ndarray, "time cell"]) -> int:
    """Most successive times at which a cell is missing."""
    run, longest = np.zeros(missing.shape[1], dtype=int), 0
    for at_time in missing:
        run = (run + 1) * at_time
        longest = max(longest, int(run.max(initial=0)))
    return longest


# Flags of quality.


class Quality(NamedTuple):
    """A flag of quality: how often it has each value, and the condition that keeps good values, if some are not."""

    counts: pd.DataFrame  # variable, value, meaning, count, share
    where: str
    variables: tuple[str, ...] = ()  # those that it belongs to, if it says nothing of the others


def quality_flags(dataset: xr.Dataset, whole: bool = True) -> list[Quality]:
    """The flags of a data set on its grid and times, with counts of their values; `whole` if no others exist."""
    names = axes(dataset)
    if not {"time", "latitude", "longitude"} <= {*names}:
        return []
    dims = {d for axis in names.values() for d in dataset[axis].dims}
    found = []
    for name, array in dataset.data_vars.items():
        if array.dtype.kind in "fiu" and {*array.dims} == dims and declared_encoding(array).category:
            quality = quality_of(str(name), array, whole)
            useful = not whole or not quality.where or excludes(dataset, quality.where)
            quality = quality if useful else quality._replace(where="")
            found.append(quality._replace(variables=variables_of(str(name), dataset, dims)))
    return found


def variables_of(flag: str, dataset: xr.Dataset, dims: set[Hashable]) -> tuple[str, ...]:
    """The variables that a flag belongs to, by their `ancillary_variables` or its name; empty if it may be of all."""
    related = {
        str(name): str(each.attrs.get("ancillary_variables", "")).split() for name, each in dataset.items()
    }
    quantities = [
        str(name)
        for name, array in dataset.data_vars.items()
        if array.dtype.kind in "fiu" and {*array.dims} == dims and not declared_encoding(array).category
        and not any(name in names for names in related.values())
    ]  # fmt: skip
    named = [v for v in quantities if flag in related[v] or re.search(rf"(^|_){re.escape(v)}(_|$)", flag)]
    return tuple(named) if len(named) < len(quantities) else ()


def excludes(dataset: xr.Dataset, where: str) -> bool:
    """Whether a condition on a flag excludes a value of a variable; bad values may be missing already."""
    try:
        before, after = (each.notnull().sum() for each in (dataset, satisfying(dataset, where)))
    except InputError:  # no variable has the dimensions of the flag
        return False
    return any(int(after[name]) < int(before[name]) for name in dataset.data_vars)


def share_kept(before: xr.Dataset, after: xr.Dataset) -> float:
    """Share of the values that a condition leaves of the variables that it applies to."""
    counts = [
        [int(each[name].count()) for each in (before, after)] for name in before.data_vars if name in after
    ]
    given, left = np.sum([pair for pair in counts if pair[1] < pair[0]] or [[1, 1]], axis=0)
    return float(left / given)


def quality_of(name: str, array: xr.DataArray, whole: bool) -> Quality:
    """The counts and the condition of one flag."""
    values, masks, meanings = flags_of(array)
    x = array.values.ravel()
    x = x[np.isfinite(x)]
    if len(masks):
        bits = x.astype(np.int64)
        wanted = values if len(values) else masks
        pairs = [(int(m), int(v)) for m, v in zip(masks, wanted, strict=False)]
        counts = [int(((bits & m) == v).sum()) for m, v in pairs]
        numbers = [v for _, v in pairs]
    else:
        numbers, counts = (each.tolist() for each in np.unique(x, return_counts=True))
        numbers, counts = numbers[:MAX_MEANINGS], counts[:MAX_MEANINGS]
        by_value = dict(zip(values.tolist(), meanings, strict=False))
        meanings = [by_value.get(number, "") for number in numbers]
    table = pd.DataFrame(
        {"variable": name, "value": [number_of(n) for n in numbers],
         "meaning": [*meanings, *[""] * len(numbers)][: len(numbers)], "count": counts,
         "share": np.array(counts) / max(1, len(x))}
    )  # fmt: skip
    if len(masks):
        return Quality(table, without_bad_bits(name, table))
    declared = {number_of(value): meaning for value, meaning in by_value.items()}
    return Quality(table, condition(name, declared, [*table["value"]], whole))


def number_of(value: float | int) -> float | int:
    """An integer where it is one, as a condition is written."""
    return int(value) if float(value).is_integer() else float(value)


def without_bad_bits(name: str, counts: pd.DataFrame) -> str:
    """The condition `--where` that leaves out values with a bad bit; empty if there is none."""
    present = counts.loc[counts["count"] > 0, "meaning"].astype(str)
    bad = [meaning for meaning in present if BAD_BITS.search(meaning) and not NOT_BAD.search(meaning)]
    return f"{name} without {' '.join(bad)}" if bad else ""


def condition(
    name: str, declared: Mapping[float | int, str], present: Sequence[float | int], whole: bool
) -> str:
    """The condition `--where` that keeps values with a good meaning.

    It is empty if no meaning says so, or all values of a `whole` flag are good. It is that of all `declared` values,
    which another part of the file may have: a limit, such as the levels of GHRSST have, or else the bad values.
    """
    good = {v for v, text in declared.items() if GOOD.search(text) and not NOT_GOOD.search(text)}
    bad = {*declared, *present} - good
    if not good or not bad or (whole and not bad & {*present}):
        return ""
    if len(good) == 1:
        return f"{name} == {min(good)}"
    if min(good) > max(bad):
        return f"{name} >= {min(good)}"
    if max(good) < min(bad):
        return f"{name} <= {max(good)}"
    return " and ".join(f"{name} != {value}" for value in sorted(bad))
