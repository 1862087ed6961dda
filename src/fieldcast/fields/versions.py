"""Merge several versions of the same data in one file, by `expver`: in ERA5 `0001` is final, `0005` preliminary.

`expver` is either a dimension, and a value then usually stands in one version and is NaN in the other; or a coordinate
of time, and a time may then occur once in each version. The lowest number, the final version, takes precedence.
"""

from __future__ import annotations

import logging
from functools import reduce
from typing import NamedTuple

import numpy as np
import xarray as xr

from fieldcast import calendars
from fieldcast.counted import counted

LOG = logging.getLogger(__name__)
EXPVER = "expver"
VERSIONS = "fieldcast_versions"  # attribute: a Choice


class Choice(NamedTuple):
    """Record of which version was taken where several exist."""

    first: str  # date of the first such time
    times: int
    sentence: str


def unique_times(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """Keep the final version of each time that occurs in several; `expver` is a coordinate of time."""
    if EXPVER not in dataset.variables or dataset[EXPVER].dims != ("time",):
        return dataset
    ranks = _ranks(dataset[EXPVER].values)
    times = calendars.iso(dataset["time"])
    best: dict[str, int] = {}
    for i in np.argsort(ranks, kind="stable").tolist():
        best.setdefault(times[i], i)
    chosen = np.sort(np.array(list(best.values()), dtype=int))
    repeated = [time for i, time in enumerate(times) if best[time] != i and ranks[best[time]] != ranks[i]]
    if not repeated or len(chosen) + len(repeated) < len(times):  # some occur twice within one version
        return dataset
    names = _text(dataset[EXPVER].values)
    note = (
        f"{counted(len(repeated), 'time occurs', 'times occur')} in versions {names} (expver), the first "
        f"{min(repeated)}: the lowest, which is final, was taken."
    )
    LOG.warning("%s: %s", where, note)
    choice = {VERSIONS: Choice(min(repeated), len(repeated), note)}
    dataset = dataset.isel(time=chosen)
    return dataset.assign({name: array.assign_attrs(choice) for name, array in dataset.data_vars.items()})


def combine_versions(array: xr.DataArray, where: str) -> xr.DataArray:
    """Take the final version of each value where it exists, else a preliminary one; `expver` is a dimension."""
    if EXPVER not in array.dims:
        return array
    numbers = array[EXPVER].values  # indices, if the dimension has no coordinate
    versions = [array.isel({EXPVER: i}, drop=True) for i in np.argsort(_ranks(numbers), kind="stable")]
    combined = reduce(lambda final, preliminary: final.fillna(preliminary), versions)
    others = [dim for dim in combined.dims if dim != "time"]
    differ = reduce(
        np.logical_or,
        ((version.notnull() & (version != combined)).any(others).values for version in versions[1:]),
        False,
    )
    if np.any(differ):
        first = calendars.date(array["time"][np.flatnonzero(differ)[0]]) if "time" in array.dims else "any"
        note = (
            f"Versions {_text(numbers)} (expver) differ at {counted(int(np.sum(differ)), 'time')}, the first {first}: "
            "the lowest, which is final, was taken."
        )
        LOG.warning("variable '%s' of %s: %s", array.name, where, note)
        combined = combined.assign_attrs({VERSIONS: Choice(first, int(np.sum(differ)), note)})
    return combined


def _ranks(versions: np.ndarray) -> np.ndarray:
    """Sort keys of versions: their numbers; versions without a number come last."""
    texts = [version.decode() if isinstance(version, bytes) else str(version) for version in versions]
    return np.array([float(text) if text.strip().replace(".", "").isdigit() else np.inf for text in texts])


def _text(versions: np.ndarray) -> str:
    texts = {version.decode() if isinstance(version, bytes) else str(version) for version in versions}
    return " and ".join(sorted(texts))
