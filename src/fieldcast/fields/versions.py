"""Several versions of the same data in one file, by `expver`: of ERA5 `0001` is final, `0005` preliminary.

`expver` is a dimension, and a value is as a rule in one version and NaN in the other; or it belongs to time, and a time
may be there once in each version. The lowest number, which is the final version, goes before the others.
"""

from __future__ import annotations

import logging
from functools import reduce
from typing import NamedTuple

import numpy as np
import xarray as xr

from fieldcast.fields import calendars

LOG = logging.getLogger(__name__)
EXPVER = "expver"
VERSIONS = "fieldcast_versions"  # attribute: a Choice


class Choice(NamedTuple):
    """What was chosen where there are several versions."""

    first: str  # date of the first
    times: int
    sentence: str


def one_of_each_time(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """Keep the final version of each time that a data set holds in several; `expver` is a coordinate of time."""
    if EXPVER not in dataset.variables or dataset[EXPVER].dims != ("time",):
        return dataset
    ranks = _ranks(dataset[EXPVER].values)
    times = calendars.iso(dataset["time"])
    best: dict[str, int] = {}
    for i in np.argsort(ranks, kind="stable").tolist():
        best.setdefault(times[i], i)
    kept = np.sort(np.array(list(best.values()), dtype=int))
    repeated = [time for i, time in enumerate(times) if best[time] != i and ranks[best[time]] != ranks[i]]
    if not repeated or len(kept) + len(repeated) < len(times):  # some are there twice in one version
        return dataset
    names = _text(dataset[EXPVER].values)
    note = (
        f"{len(repeated)} times are there in versions {names} (expver), the first {min(repeated)}: "
        "the lowest, which is final, was taken."
    )
    LOG.warning("%s: %s", where, note)
    choice = {VERSIONS: Choice(min(repeated), len(repeated), note)}
    dataset = dataset.isel(time=kept)
    return dataset.assign({name: array.assign_attrs(choice) for name, array in dataset.data_vars.items()})


def put_together(array: xr.DataArray, where: str) -> xr.DataArray:
    """One of several versions at each place, the final one where there are more; `expver` is a dimension."""
    if EXPVER not in array.dims:
        return array
    numbers = array[EXPVER].values  # of a dimension without coordinate its places
    parts = [array.isel({EXPVER: i}, drop=True) for i in np.argsort(_ranks(numbers), kind="stable")]
    together = reduce(lambda final, preliminary: final.fillna(preliminary), parts)
    others = [dim for dim in together.dims if dim != "time"]
    differ = reduce(
        np.logical_or, ((part.notnull() & (part != together)).any(others).values for part in parts[1:]), False
    )
    if np.any(differ):
        first = calendars.date(array["time"][np.flatnonzero(differ)[0]]) if "time" in array.dims else "any"
        note = (
            f"Versions {_text(numbers)} (expver) differ at {np.sum(differ)} times, the first {first}: "
            "the lowest, which is final, was taken."
        )
        LOG.warning("variable '%s' of %s: %s", array.name, where, note)
        together = together.assign_attrs({VERSIONS: Choice(first, int(np.sum(differ)), note)})
    return together


def _ranks(versions: np.ndarray) -> np.ndarray:
    """Numbers by which versions are ordered; what is no number comes last."""
    texts = [version.decode() if isinstance(version, bytes) else str(version) for version in versions]
    return np.array([float(text) if text.strip().replace(".", "").isdigit() else np.inf for text in texts])


def _text(versions: np.ndarray) -> str:
    texts = {version.decode() if isinstance(version, bytes) else str(version) for version in versions}
    return " and ".join(sorted(texts))
