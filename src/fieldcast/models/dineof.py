"""DINEOF: a state completed by the leading modes of a training record, which may have gaps (`gaps.dineof`)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.gaps import dineof
from fieldcast.models.gaps.record import cells, scale_states, state
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


class Dineof(Solved):
    """x = D (mean + V V^T (x / D - mean)) where missing, repeated from 0 until these values no longer change.

    V holds the modes of the training record, filled by DINEOF (Beckers and Rixen 2003; Alvera-Azcarate et al. 2005), in
    the number that predicts its held-out values best; a new state is filled as a further time of that record would be,
    with the modes held fixed. D is the standard deviation of each value. There is neither a spread nor an observation
    error.
    """

    deterministic = True
    learns_from_gaps = True
    axes: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, space: Space):
        super().__init__(space)
        values = int(space.size)
        self.register_buffer("axes", torch.zeros(0, values))  # V^T
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("deviation", torch.ones(values))  # D

    def solve(self, training: Iterable[Batch]) -> None:
        """Fill the training record and keep its modes."""
        x, observed, self.deviation = scale_states(self.space, training)
        filled = dineof.fill_by_dineof(x, observed)
        self.axes, self.mean = filled.axes, filled.mean

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """The completed state, the same for every member."""
        y, observed = (cells(self.space, tensor) for tensor in c.observations())
        y = y / self.deviation - self.mean
        x = torch.where(observed, y, 0.0)
        missing = (~observed).sum(1).clamp(min=1)
        changing = torch.ones_like(missing, dtype=torch.bool)
        for _ in range(dineof.MAX_ITERATIONS):
            datum = changing.nonzero()[:, 0]
            change = ((x[datum] @ self.axes.T) @ self.axes - x[datum]).masked_fill(observed[datum], 0.0)
            x[datum] += change
            # each datum stops by itself, so that its result does not depend on the batch; values have deviations of 1
            size = (change.square().sum(1) / missing[datum]).sqrt()
            changing[datum] = size >= dineof.TOLERANCE
            if not changing.any():
                break
        whole = state(self.space, ((x + self.mean) * self.deviation).float())
        return whole[:, None].expand(-1, streams.members, -1, -1, -1)
