"""Climatology: x = 0, in anomalies. What is known of a field of which nothing is observed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.random_streams import RandomStreams


class Climatology(Solved):
    """x = 0: states are anomalies from the climatology of their day, which so is zero whatever c says."""

    deterministic = True

    def solve(self, training: Iterable[Batch]) -> None:
        """Nothing: the climatology was taken out of the states when they were standardised."""

    def sample(self, c: Context, draws: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Zeros."""
        return torch.zeros(c.rows, draws.members, *self.space.state, device=self.space.area.device)
