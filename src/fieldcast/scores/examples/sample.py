"""The few states that an evaluation of samples stores for figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Integer

from fieldcast.even_spacing import evenly_spaced_indices
from fieldcast.kinds import state_dimension

PICTURES = 36  # number of samples, and of real states
BESIDE_NEAREST = 10  # samples that figures show beside their nearest training states


def sample_examples(samples: xr.Dataset, real: xr.Dataset, nearest: xr.Dataset) -> xr.Dataset:
    """Pictures of samples and real states, 36 each, and of the training states nearest to the first samples.

    Dims (picture, ...), with the coordinates kind ("sample", "real" or "nearest"), number and chain_time. All three
    arguments are data sets of states on `sample` or `time`.
    """
    spread = evenly_spaced_indices(count_of(real), PICTURES)
    pictures = [
        pictures_of_kind(samples, np.arange(min(PICTURES, count_of(samples))), "sample"),
        pictures_of_kind(real, spread, "real"),
        pictures_of_kind(nearest, np.arange(count_of(nearest)), "nearest"),
    ]
    return concatenate_pictures(pictures, samples.attrs)


def with_pictures(examples: xr.Dataset, pictures: xr.Dataset) -> xr.Dataset:
    """The examples, preceded by pictures that the model itself stored, if there are any."""
    return (
        concatenate_pictures([pictures[list(examples.data_vars)], examples], examples.attrs)
        if pictures.data_vars
        else examples
    )


def concatenate_pictures(pictures: Sequence[xr.Dataset], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Pictures of several kinds as one data set."""
    return xr.concat(pictures, "picture", coords="minimal", compat="override").assign_attrs(attrs)


def pictures_of_kind(states: xr.Dataset, indices: Integer[np.ndarray, " picture"], kind: str) -> xr.Dataset:
    """Some of the states as pictures of one kind."""
    dim = state_dimension(states)
    names = [name for name, values in states.data_vars.items() if dim in values.dims]
    selected = states[names].isel({dim: indices})
    selected = selected.drop_vars([name for name in selected.coords if dim in selected[name].dims]).load()
    count = len(indices)
    return selected.rename({dim: "picture"}).assign_coords(
        kind=("picture", np.full(count, kind)),
        number=("picture", np.arange(count)),
        chain_time=("picture", np.full(count, -1)),
    )


def count_of(states: xr.Dataset) -> int:
    """Number of states."""
    return int(states.sizes[state_dimension(states)])
