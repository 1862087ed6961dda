"""The order in which training visits its data: shards are shuffled, and data are drawn within a window of shards.

Each pass over the record takes the shards in a random order and divides them into windows of two; a window lasts for
as many steps as its share of the record needs. The batch of a step is drawn without replacement from its window. All
this is a function of seed and step, so that a resumed training visits the same batches. A record of up to two shards
is one window: its batches do not depend on whether it is streamed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

from fieldcast.encoding.selection import batch_index
from fieldcast.models.random_streams import generator_for
from fieldcast.training.batches import Batches, shard_ends

SHARDS_PER_WINDOW = 2  # number of shards in a window; more take too much memory on large grids


@dataclass(eq=False)
class BatchOrder:
    """The data of each step, as a function of seed and step.

    Parameters
    ----------
    batches
        The training data; `batches.data` holds the states that a step needs.
    groups
        Group of each datum, if a batch must come from a single group.
    seed
        Seed of the order.
    size
        Number of data in a batch.
    """

    batches: Batches
    groups: Int[Tensor, " training"] | None
    seed: int
    size: int
    _window: int = -1
    _data: Int[Tensor, " window"] | None = None

    @cached_property
    def shard_bounds(self) -> list[tuple[int, int, int]]:
        """Number, first datum and end of each shard that has data."""
        ends = shard_ends(self.batches.data, self.batches.state_index)
        return [(number, a, b) for number, (a, b) in enumerate(pairwise([0, *ends])) if b > a]

    @cached_property
    def windows(self) -> int:
        """Number of windows of a pass."""
        return math.ceil(len(self.shard_bounds) / SHARDS_PER_WINDOW)

    @cached_property
    def steps(self) -> int:
        """Number of steps in a window."""
        return max(1, math.ceil(len(self.batches) / (self.size * self.windows)))

    def shards(self, window: int) -> list[int]:
        """The shards of a window, as ascending indices of `shard_bounds`; windows are numbered through all passes."""
        if self.windows == 1:
            return list(range(len(self.shard_bounds)))
        number, position = divmod(window, self.windows)
        generator = generator_for("shards", self.seed, number)
        shuffled = torch.randperm(len(self.shard_bounds), generator=generator)
        return sorted(shuffled.tensor_split(self.windows)[position].tolist())

    def data(self, step: int) -> Int[Tensor, " batch"]:
        """The data of a step, after their states have been loaded into memory."""
        window = step // self.steps if self.windows > 1 else 0
        if window != self._window:
            current, following = self.shards(window), self.shards(window + 1)
            self.batches.data.hold(
                *([self.shard_bounds[shard][0] for shard in shards] for shards in (current, following))
            )
            self._data = torch.cat([torch.arange(*self.shard_bounds[shard][1:]) for shard in current])
            self._window = window
        assert self._data is not None
        groups = None if self.groups is None else self.groups[self._data]
        return self._data[batch_index(step, self.seed, groups, len(self._data), self.size)]
