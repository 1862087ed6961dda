"""The training states that a model keeps, in memory and in its checkpoint: a bounded number of them.

State t of the record is kept if frac(t phi), phi = (sqrt(5) - 1) / 2, is among the `MAX_STATES` smallest. The multiples
of phi modulo 1 that lie below a bound are nearly evenly spaced, with gaps of at most three lengths (Sós 1958), and
favour no hour of the day and no season. A record of up to `MAX_STATES` states is kept as a whole.
"""

from __future__ import annotations

import logging

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.geometry import GOLDEN

MAX_STATES = 4096  # largest number of training states that a model keeps

LOG = logging.getLogger(__name__)


class Retained:
    """Collects states with their numbers in the record, and holds at most twice `MAX_STATES` of them in memory.

    With `stretch`, that many successive states are kept together, so that most of them have a successor.
    """

    def __init__(self, stretch: int = 1):
        self.stretch, self.count = stretch, 0
        self.pieces: list[tuple[Tensor, ...]] = []

    def add(self, number: Int[Tensor, " some"], *values: Tensor) -> None:
        """Add states: their numbers, and tensors with a row for each of them."""
        self.pieces.append((number, *values))
        self.count += len(number)
        if sum(len(piece[0]) for piece in self.pieces) > 2 * MAX_STATES:
            self.pieces = [self._joined()]

    def result(self) -> tuple[Tensor, ...]:
        """The numbers of the states that are kept, in increasing order, and the rows of the tensors for them."""
        kept = self._joined()
        if len(kept[0]) < self.count:
            LOG.info("The model keeps %d of %d training states.", len(kept[0]), self.count)
        return kept

    def _joined(self) -> tuple[Tensor, ...]:
        number, *values = (torch.cat(values) for values in zip(*self.pieces, strict=True))
        index = kept_indices(number, self.stretch)
        return number[index], *(value[index] for value in values)


def kept_indices(number: Int[Tensor, " n"], stretch: int = 1) -> Int[Tensor, " kept"]:
    """Indices of the numbers that are kept, in increasing order of the numbers."""
    order = number.argsort(stable=True)
    priority = (number[order] // stretch).double() * GOLDEN % 1
    return order[priority.argsort(stable=True)[:MAX_STATES].sort().values]


def rounded(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Values as checkpoints store them, in half precision: with a relative error of up to 2^-11."""
    return x.half().float()
