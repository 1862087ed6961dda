"""Training batches of each task: states, and the contexts from which a model predicts them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from fieldcast.encoding.observations import ERRORS, MASKS
from fieldcast.encoding.options import Sparsification
from fieldcast.encoding.states import StateCodec
from fieldcast.errors import InputError
from fieldcast.models import image_transforms, masks
from fieldcast.models.core import Batch, Context
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space, evenly
from fieldcast.training.state_source import States

MEMBERS = 4  # members of a trial; the expected fair CRPS does not depend on their number
FRACTIONS = 0.02, 0.05, 0.1, 0.2  # observed fractions of cells in the trials of a reconstruction
LEADS = 5  # number of lead times in the trials of a forecast
STARTS = 32  # initial times in one batch of such a trial, which bounds the memory
CHUNK = 512  # windows in one batch of a closed-form solution


@runtime_checkable
class Batches(Protocol):
    """A split as a source of batches for a task."""

    @property
    def space(self) -> Space:
        """Grid and variables."""
        ...

    @property
    def data(self) -> States:
        """States of the split."""
        ...

    @property
    def state_index(self) -> Int[Tensor, " datum"]:
        """Index of the state of each datum, ascending; the datum belongs to the shard of this state."""
        ...

    def __len__(self) -> int: ...
    def states(self) -> Iterator[Batch]:
        """Yield all data in order of time: the input of a closed-form solution."""
        ...

    def batch(
        self, index: Int[Tensor, " batch"], streams: RandomStreams, shared_mask: bool = False, steps: int = 1
    ) -> Batch: ...
    def trials(self, count: int, seed: int) -> list[tuple[Batch, RandomStreams]]:
        """Evenly spaced data for tuning."""
        ...


@dataclass(frozen=True, eq=False)
class ReconstructionBatches:
    """c = (m * (x + noise), m, day) with a new pattern and fraction k for each datum, or one of both for a batch."""

    data: States
    space: Space
    options: Sparsification

    @property
    def state_index(self) -> Int[Tensor, " datum"]:
        return torch.arange(len(self), device=self.data.days.device)

    def __len__(self) -> int:
        return len(self.data)

    def states(self) -> Iterator[Batch]:
        for index in iterate_shards(self.data, self.state_index):
            states = slice(int(index[0]), int(index[-1]) + 1)
            observed = None if self.data.observed is None else self.data.observed[states]
            context = Context(len(index), day=self.data.days[states])
            yield Batch(self.data[states], context, index=index, observed=observed)

    def batch(
        self, index: Int[Tensor, " batch"], streams: RandomStreams, shared_mask: bool = False, steps: int = 1,
        k: float | None = None,
    ) -> Batch:  # fmt: skip
        """The states `index` with masks and errors from `streams`, the random streams of the same data."""
        training, x = self.options.training, self.data[index]
        # the observing network is a function of the seed in the options, in training as in the test
        datum = streams.datum[:1] * 0 if shared_mask else streams.datum
        mask_streams = RandomStreams(seed_for(MASKS, self.options.seed), datum, step=streams.step).fork(
            streams.seed
        )
        fractions = training.k if k is None else (k, k)
        mask = masks.draw(training.patterns, fractions, mask_streams, self.space, self.options.per_variable)
        present = None if self.data.observed is None else self.data.observed[index]
        mask = mask.expand(len(index), -1, -1, -1) if present is None else mask & present
        errors = replace(mask_streams, seed=seed_for(ERRORS, self.options.seed), datum=streams.datum)
        observed = masks.observe(x, mask, self.options.noise, errors)
        context = Context(
            len(index), observed=observed, mask=mask, day=self.data.days[index], noise=self.options.noise
        )
        return Batch(x, context, index=index, observed=present)

    def times_with_values(self) -> Int[Tensor, " datum"]:
        """Indices of the data in which any value is present."""
        observed = self.data.observed
        if observed is None:
            return self.state_index
        shards = iterate_shards(self.data, self.state_index)
        return torch.cat([index[observed[index].flatten(1).any(dim=1)] for index in shards])

    def trials(self, count: int, seed: int) -> list[tuple[Batch, RandomStreams]]:
        """Trials at each fraction k, with one mask for all data of a fraction, at evenly spaced times with values."""
        present = self.times_with_values()
        spaced = evenly(len(present), max(1, count // len(FRACTIONS)) * len(FRACTIONS))
        positions, trials = present[spaced.to(present.device)], []
        for number, k in enumerate(FRACTIONS):
            index = positions[number :: len(FRACTIONS)]
            if len(index):
                streams = RandomStreams(seed_for("trials", seed), index, MEMBERS, number)
                trials.append((self.batch(index, streams, shared_mask=True, k=k), streams))
        return trials


@dataclass(frozen=True, eq=False)
class ForecastWindows:
    """c = (the last l states, day of the target state); a window never crosses the border of a segment.

    A batch of several steps is a rollout: x (B, T, V, Y, X).
    """

    data: States
    space: Space
    history: int
    steps: int = 1  # number of steps of the longest rollout in the loss

    @cached_property
    def last(self) -> Int[Tensor, " window"]:
        """Index of the last past state of each window."""
        first, segment = max(self.history, 1) - 1, self.data.segment
        last = torch.arange(first, max(first, len(self.data) - self.steps), device=segment.device)
        unbroken = segment[last - max(self.history, 1) + 1] == segment[last + self.steps]
        return last[unbroken]

    @property
    def state_index(self) -> Int[Tensor, " datum"]:
        return self.last

    def __len__(self) -> int:
        return len(self.last)

    def states(self) -> Iterator[Batch]:
        single = replace(self, steps=1)
        for index in iterate_shards(self.data, single.last):
            for last in single.last[index].split(CHUNK):
                yield single.window(last, 1)

    def batch(
        self, index: Int[Tensor, " batch"], streams: RandomStreams, shared_mask: bool = False, steps: int = 1
    ) -> Batch:
        return self.window(self.last[index], steps)

    def trials(self, count: int, seed: int) -> list[tuple[Batch, RandomStreams]]:
        """Evenly spaced windows of `LEADS` steps."""
        longer = replace(self, steps=LEADS)
        if not len(longer):
            raise InputError(
                f"models are tuned on forecasts over {LEADS} steps from {self.history} states, and no regular "
                "stretch of the validation split is long enough for one: lengthen that split."
            )
        index = evenly(len(longer), count).to(longer.last.device)
        pieces = math.ceil(len(index) / STARTS)
        return [
            (
                longer.window(longer.last[piece], LEADS),
                RandomStreams(seed_for("trials", seed), piece, MEMBERS),
            )
            for piece in (index[number::pieces] for number in range(pieces))
        ]

    def window(self, last: Int[Tensor, " batch"], steps: int) -> Batch:
        """The states before and after `last`; the index of a window is the index of its first target."""
        before = torch.arange(1 - self.history, 1, device=last.device)
        after = torch.arange(1, steps + 1, device=last.device)
        past = self.data[last[:, None] + before] if self.history else None
        x = self.data[last[:, None] + after]
        context = Context(len(last), past=past, day=self.data.days[last + 1])
        return Batch(x if steps > 1 else x[:, 0], context, index=last + 1)


@dataclass(frozen=True, eq=False)
class StateBatches:
    """c = (): states without a context; images are binarised or dequantised anew at each step.

    Parameters
    ----------
    data
        The states.
    label
        Class of each image; None for fields.
    space
        Grid of the states.
    codec
        Codec that transforms encoded states.
    scored
        Whether they are scored, not trained on: they are then always transformed in the same way.
    """

    data: States
    label: Int[Tensor, " datum"] | None
    space: Space
    codec: StateCodec
    scored: bool = False

    @property
    def state_index(self) -> Int[Tensor, " datum"]:
        return torch.arange(len(self), device=self.data.days.device)

    def __len__(self) -> int:
        return len(self.data)

    def states(self) -> Iterator[Batch]:
        """Yield the data of each shard as one batch."""
        for index in iterate_shards(self.data, self.state_index):
            yield self.batch(index, image_transforms.fixed_streams(RandomStreams(0, index)))

    def batch(
        self, index: Int[Tensor, " batch"], streams: RandomStreams, shared_mask: bool = False, steps: int = 1
    ) -> Batch:
        x = self.codec.apply_treatment(
            self.data[index], image_transforms.fixed_streams(streams) if self.scored else streams
        )
        label = None if self.label is None else self.label[index]
        return Batch(x, Context(len(index)), index=index, label=label)

    def trials(self, count: int, seed: int) -> list[tuple[Batch, RandomStreams]]:
        index = evenly(len(self), count).to(self.data.days.device)
        streams = RandomStreams(seed_for("trials", seed), index, MEMBERS)
        return [(self.batch(index, streams), streams)]


def iterate_shards(states: States, state_index: Int[Tensor, " datum"]) -> Iterator[Int[Tensor, " shard"]]:
    """Yield the data of one shard after another; its states are in memory meanwhile, those of the next are read."""
    ends = shard_ends(states, state_index)
    for number, (first, end) in enumerate(pairwise([0, *ends])):
        if end > first:
            states.hold([number], [number + 1] if number + 1 < len(ends) else [])
            yield torch.arange(first, end, device=state_index.device)
    states.hold([])


def shard_ends(states: States, state_index: Int[Tensor, " datum"]) -> list[int]:
    """Number of data up to the end of each shard."""
    ends = torch.tensor([shard.stop for shard in states.shards], device=state_index.device)
    return torch.searchsorted(state_index, ends).tolist()
