"""Samples and real states in the form that their evaluation needs.

The training split is read in pieces, with one piece in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Integer
from torch import Tensor

from fieldcast.encoding.states import AnyDayCodec, ImageCodec, StateCodec
from fieldcast.fields import domain
from fieldcast.fields.prepared import of_own_values
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.inference.samples.features import load_features, unfitted_positions
from fieldcast.kinds import SAMPLE, are_images, state_dimension
from fieldcast.models import image_transforms
from fieldcast.models.core import Context, Model
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.replicas import draw
from fieldcast.models.space import Space, evenly
from fieldcast.runtime import Progress
from fieldcast.scores.distances import Sets

TRAINING_MULTIPLE = 8  # number of training states with features, as a multiple of the number of samples
STATES_AT_ONCE = 1024  # number of states in memory

Cells = Callable[[xr.Dataset], Float[np.ndarray, "state cell"]]
Positions = slice | Integer[np.ndarray, " state"]


@dataclass(frozen=True, eq=False)
class SplitStates:
    """The states of a split as a model draws them: fields unchanged, images after a treatment with fixed draws.

    `split[positions]` are the standardised cells of some states.
    """

    part: xr.Dataset
    codec: ImageCodec | None  # None for fields
    cells: Cells

    def __len__(self) -> int:
        return int(self.part.sizes[state_dimension(self.part)])

    def __getitem__(self, positions: Positions) -> Float[np.ndarray, "state cell"]:
        return self.cells(self.states(positions))

    def states(self, positions: Positions) -> xr.Dataset:
        """Some states, in physical units or grey values."""
        part = self.part.isel({state_dimension(self.part): positions})
        if self.codec is None:
            return part
        draws = image_transforms.fixed_streams(
            RandomStreams(0, torch.from_numpy(np.arange(len(self))[positions]))
        )
        treated = self.codec.decode(self.codec.apply_treatment(self.codec.encode(part), draws))
        return part.assign(image=(part["image"].dims, treated["image"].values, part["image"].attrs))

    def pieces(self) -> Iterator[xr.Dataset]:
        """All states in order, a piece at a time."""
        for first in range(0, len(self), STATES_AT_ONCE):
            yield self.states(slice(first, first + STATES_AT_ONCE))

    def all_states(self) -> xr.Dataset:
        """All states at once."""
        if self.codec is None:
            return self.part
        image = np.concatenate([piece["image"].values for piece in self.pieces()])
        return self.part.assign(image=(self.part["image"].dims, image, self.part["image"].attrs))


class SampleSets(NamedTuple):
    """Samples, test and training states, as features and as standardised cells."""

    real: xr.Dataset  # the test split, as the model draws it
    training: SplitStates
    features: Sets
    states: Sets
    facts: dict[str, Any]  # facts about the features
    noise: Float[np.ndarray, "state feature"]


def compare(
    samples: xr.Dataset, fields: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    extractor: bytes, seed: int,
) -> SampleSets:  # fmt: skip
    """Samples, test and training states in the same features; real images get the treatment of the training.

    If possible, the training states are states that the features were not fitted on: they stand for a perfect model.
    """
    images = are_images(fields)
    codec = ImageCodec(samples.attrs["treatment"], fields.attrs["levels"]) if images else None
    cells = cells_of(fields, normalisation)
    test, training = (SplitStates(select(fields, splits, name), codec, cells) for name in ("test", "train"))
    real, features, count = test.all_states(), load_features(extractor), samples.sizes[SAMPLE]
    unseen = unfitted_positions(features, training.part, count)
    reference = training.states(unseen[evenly(len(unseen), TRAINING_MULTIPLE * count).numpy()])
    return SampleSets(
        real,
        training,
        Sets(features(samples), features(real), features(reference)),
        Sets(cells(samples), cells(real), training),
        features.facts,
        features(noise(training, count, seed)),
    )


def cells_of(fields: xr.Dataset, normalisation: xr.Dataset) -> Cells:
    """A function from states to their existing cells, standardised; for images to fractions of white."""
    if are_images(fields):
        white = np.float32(fields.attrs["levels"] - 1)
        return lambda states: states["image"].values.reshape(states.sizes[SAMPLE], -1) / white
    codec, exists = AnyDayCodec.of(fields, of_own_values(normalisation)), domain.common_cells(fields)
    return lambda states: codec.standardise(states)[:, :, exists].reshape(
        states.sizes[state_dimension(states)], -1
    )


def noise(training: SplitStates, count: int, seed: int) -> xr.Dataset:
    """States of independent cells, each normal with the mean and standard deviation of its training values."""
    rng = np.random.default_rng([seed, count])
    variables = {}
    for name, (mean, deviation) in cell_moments(training).items():
        cells = rng.standard_normal((count, *mean.shape), dtype=np.float32)
        variables[name] = ((SAMPLE, *mean.dims), mean.values + deviation.values * cells)
    return xr.Dataset(variables)


def cell_moments(training: SplitStates) -> dict[str, tuple[xr.DataArray, xr.DataArray]]:
    """Mean and standard deviation of each cell of the variables, from sums of departures from the first state."""
    dim = state_dimension(training.part)
    names = [str(name) for name, values in training.part.data_vars.items() if dim in values.dims]
    first = training.states(slice(0, 1))[names].isel({dim: 0}, drop=True).astype(float)
    total, square = xr.zeros_like(first), xr.zeros_like(first)
    for piece in training.pieces():
        departure = piece[names] - first
        total += departure.sum(dim, skipna=False)
        square += (departure**2).sum(dim, skipna=False)
    mean = total / len(training)
    deviation = np.sqrt((square / len(training) - mean**2).clip(min=0))
    return {name: (first[name] + mean[name], deviation[name]) for name in names}


# Draws of states as tensors, and as data sets.


DRAWS_AT_ONCE = 64  # number of states in one batch on a device, which bounds the memory


@torch.no_grad()
def draw_states(model: Model, count: int, seed: int) -> Float[Tensor, "draw variable y x"]:
    """`count` draws of x; they do not depend on how many are drawn at once."""
    x = torch.empty(count, *model.space.state_shape)
    batches = torch.arange(count, device=model.space.area.device).split(
        DRAWS_AT_ONCE * (1 + len(model.replicas))
    )
    for index in Progress(batches, unit="part"):
        x[index.cpu()] = draw(model, Context(len(index)), RandomStreams(seed, index))[:, 0].float().cpu()
    return x


def physical_states(space: Space, codec: StateCodec, x: Float[Tensor, "draw variable y x"]) -> xr.Dataset:
    """States in physical units or grey values; cells that do not exist are NaN."""
    return codec.decode(x.float().cpu().masked_fill(~space.exists.cpu(), torch.nan))
