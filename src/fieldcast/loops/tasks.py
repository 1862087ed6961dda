"""What a training batch of a task is: states, and the contexts they are to be drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.loops.options import Sparsification
from fieldcast.models import masks
from fieldcast.models.core import Batch, Context, Space
from fieldcast.models.draws import Draws

NOISE_STREAM = 2  # the noise of the observations does not shift what else is drawn
RUNS = 1_000_003  # steps between the masks of one seed and of the next


@runtime_checkable
class Task(Protocol):
    """A split seen through a task."""

    @property
    def space(self) -> Space: ...
    def __len__(self) -> int: ...
    def states(self) -> Batch: ...
    def batch(
        self, index: Int[Tensor, " batch"], draws: Draws, shared_mask: bool = False, k: float | None = None
    ) -> Batch: ...


@dataclass(frozen=True, eq=False)
class Reconstruct:
    """c = (m * (x + noise), m, day): a fresh pattern and k for each datum, or one for the whole batch."""

    x: Float[Tensor, "time variable y x"]
    day: Float[Tensor, " time"]
    space: Space
    options: Sparsification

    def __len__(self) -> int:
        return len(self.x)

    def states(self) -> Batch:
        """All states, in order of time, observed nowhere: what a closed-form solution starts from."""
        index = torch.arange(len(self.x), device=self.x.device)
        return Batch(self.x, Context(len(self.x), day=self.day), index=index)

    def batch(
        self, index: Int[Tensor, " batch"], draws: Draws, shared_mask: bool = False, k: float | None = None
    ) -> Batch:
        """The states `index` under masks drawn by `draws`, whose data are the same ones."""
        training, x = self.options.training, self.x[index]
        # a network of stations is a function of the seed: the one of the options, in training as in the test
        datum = draws.datum[:1] * 0 if shared_mask else draws.datum
        drawn = Draws(self.options.seed, datum, step=draws.seed * RUNS + draws.step + 1)
        fractions = training.k if k is None else (k, k)
        mask = masks.draw(training.patterns, fractions, drawn, self.space, self.options.per_variable)
        mask = mask.expand(len(index), -1, -1, -1)
        observed = masks.observe(x, mask, self.options.noise, draws.alone().fork(NOISE_STREAM))
        context = Context(
            len(index), observed=observed, mask=mask, day=self.day[index], noise=self.options.noise
        )
        return Batch(x, context, index=index)
