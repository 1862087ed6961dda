"""A Gaussian of low rank, fitted by expectation-maximisation to states that may have gaps.

    x = D (m + W^T z + e),    z ~ N(0, I),    e ~ N(0, s^2 I),    y = x_o + eps,    eps ~ N(0, noise^2 I)

D holds the standard deviation of each value. Deviations from the posterior mean are multiplied by `inflation`, because
a fit to few observations underestimates them. With r = noise / D, the error of y in units of D has the variance
s^2 + r^2; multiplied by g = (s^2 / (s^2 + r^2))^(1/2) it has the variance s^2 in every value, and the latents are those
of a low-rank Gaussian (`gaps.low_rank_gaussian`). The residual e of an observed value has the mean
g^2 (y / D - m - W^T z) and the variance g^2 r^2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.gaps.expectation_maximisation import RANKS, fit_best_rank
from fieldcast.models.gaps.low_rank_gaussian import LowRank
from fieldcast.models.gaps.record import cells, scale_states, state
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


class LowRankGaussian(Solved):
    """Draws of the posterior of the low-rank Gaussian; the rank is the one that predicts held-out training values best.

    Tuned: `inflation`.

    Parameters
    ----------
    space
        Grid of the states.
    ranks
        Ranks to choose from, ascending.
    """

    learns_from_gaps = True
    choices = MappingProxyType({"inflation": (0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.6, 2.0)})
    inflation: Tensor
    mean: Tensor
    weights: Tensor
    deviation: Tensor
    variance: Tensor

    def __init__(self, space: Space, ranks: Sequence[int] = RANKS):
        super().__init__(space)
        if not ranks or min(ranks) < 1 or list(ranks) != sorted(ranks):
            raise TypeError(f"ranks are ascending numbers of modes, not {list(ranks)}")
        self.ranks, values = tuple(ranks), int(space.size)
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("weights", torch.zeros(0, values))
        self.register_buffer("deviation", torch.ones(values))  # D
        self.register_buffer("variance", torch.tensor(1.0))  # s^2
        self.register_buffer("inflation", torch.tensor(1.0))

    def solve(self, training: Iterable[Batch]) -> None:
        """Fit mean, axes and noise to the observed training values."""
        x, observed, self.deviation = scale_states(self.space, training)
        model = fit_best_rank(x, observed, self.ranks)
        self.mean, self.weights, self.variance = model.mean, model.weights, model.variance.to(x)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        y, observed = (cells(self.space, tensor) for tensor in c.observations())
        y = y / self.deviation
        r = c.noise / self.deviation
        g = (self.variance / (self.variance + r.square())).sqrt()
        model = LowRank(g * self.mean, g * self.weights, self.variance)
        z, factor, _ = model.posterior(g * y, observed)
        eps = model.variance.double().sqrt() * (self.inflation * streams.normal(model.rank)).double().mT
        z = z[:, None] + torch.linalg.solve_triangular(factor.mT, eps, upper=True).mT
        smooth, e = z.to(y) @ self.weights + self.mean, self.inflation * streams.normal(y.shape[1])
        residual = g.square() * (y[:, None] - smooth) + g * r * e
        x = smooth + torch.where(observed[:, None], residual, self.variance.sqrt() * e)
        return state(self.space, (x * self.deviation).float())
