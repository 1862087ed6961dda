"""Climatology: x = 0, in anomalies. The prediction of a field without any observation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.random_streams import RandomStreams


class Climatology(Solved):
    """x = 0: states are anomalies from the climatology of their day, which is therefore zero for every context."""

    deterministic = True
    accepts_points = True  # it ignores all observations
    learns_from_gaps = True

    def solve(self, training: Iterable[Batch]) -> None:
        """Do nothing: standardisation has already removed the climatology."""

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Draw zeros."""
        return torch.zeros(c.count, streams.members, *self.space.state_shape, device=self.space.area.device)
