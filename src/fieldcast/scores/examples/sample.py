"""The few states that an evaluation of samples keeps to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Integer

SHOWN = 36
BESIDE_NEAREST = 10  # samples that are shown beside their nearest training states


def sample_examples(samples: xr.Dataset, real: xr.Dataset, nearest: xr.Dataset) -> xr.Dataset:
    """Of the kinds "sample" and "real" 36 each, of "nearest" all: the training states nearest to the first samples.

    Dims (picture, ...), with the coordinates kind, number and chain_time. All three are data sets of states on `sample`
    or `time`.
    """
    even = np.unique(np.linspace(0, len_of(real) - 1, min(SHOWN, len_of(real))).round().astype(int))
    parts = [
        of_kind(samples, np.arange(min(SHOWN, len_of(samples))), "sample"),
        of_kind(real, even, "real"),
        of_kind(nearest, np.arange(len_of(nearest)), "nearest"),
    ]
    return together(parts, samples.attrs)


def with_pictures(shown: xr.Dataset, pictures: xr.Dataset) -> xr.Dataset:
    """The states to look at and those that the model made besides, if it made any."""
    return together([pictures[list(shown.data_vars)], shown], shown.attrs) if pictures.data_vars else shown


def together(parts: Sequence[xr.Dataset], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Pictures of several kinds as one data set."""
    return xr.concat(parts, "picture", coords="minimal", compat="override").assign_attrs(attrs)


def of_kind(states: xr.Dataset, places: Integer[np.ndarray, " picture"], kind: str) -> xr.Dataset:
    """Some states that say what they are."""
    dim = along(states)
    names = [name for name, values in states.data_vars.items() if dim in values.dims]
    chosen = states[names].isel({dim: places})
    chosen = chosen.drop_vars([name for name in chosen.coords if dim in chosen[name].dims]).load()
    count = len(places)
    return chosen.rename({dim: "picture"}).assign_coords(
        kind=("picture", np.full(count, kind)),
        number=("picture", np.arange(count)),
        chain_time=("picture", np.full(count, -1)),
    )


def along(states: xr.Dataset) -> str:
    """The dimension that numbers states (of fields and images this package knows nothing but their data sets)."""
    return "sample" if "sample" in states.dims else "time"


def len_of(states: xr.Dataset) -> int:
    return int(states.sizes[along(states)])
