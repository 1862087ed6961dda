"""Persistence and damped persistence: with the climatology, the baselines that a forecast must beat.

x = x_t,        x = rho x_t,    rho = <x_{t+1} x_t> / <x_t^2>, for each variable and cell.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


def last(c: Context) -> Float[Tensor, "batch variable y x"]:
    """x_t, the newest state of the past."""
    return c.states()[:, -1]


class Persistence(Solved):
    """x = x_t."""

    deterministic = True
    history = 1

    def solve(self, training: Iterable[Batch]) -> None:
        """Do nothing: persistence has no parameters."""

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Repeat the last state for all members."""
        return last(c)[:, None].expand(-1, streams.members, -1, -1, -1)


class DampedPersistence(Solved):
    """x = rho x_t: an autoregression of order one in each cell, fitted by least squares over the training windows.

    States are anomalies, so there is no intercept; after n steps x is rho^n x_t, which decays to the climatology.
    """

    deterministic = True
    history = 1
    rho: Tensor

    def __init__(self, space: Space):
        super().__init__(space)
        self.register_buffer("rho", torch.zeros(space.state_shape))

    def solve(self, training: Iterable[Batch]) -> None:
        """Fit the slope of x_{t+1} on x_t through the origin; 0 where a cell never varies."""
        products = self.rho.new_zeros(self.rho.shape, dtype=torch.double)
        squares = torch.zeros_like(products)
        for batch in training:
            before = last(batch.context)
            products += (batch.x * before).sum(0, dtype=torch.double)
            squares += before.square().sum(0, dtype=torch.double)
        # also false for NaN, where values are missing
        rho = torch.where(squares > 0, products / squares, 0.0)
        self.rho = rho.float()

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Repeat the damped last state for all members."""
        return (self.rho * last(c))[:, None].expand(-1, streams.members, -1, -1, -1)
