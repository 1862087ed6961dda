"""Likelihoods p(x | z) of a VAE: the distribution of x in each cell, given the output of a decoder.

A decoder's output is the mean of a Gaussian, or the log odds of a (continuous) Bernoulli. Every likelihood has four
methods: `misfit`, which training minimises; `log_prob`, the full density; `mean`; and `draw`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fieldcast.models.options import Positive
from fieldcast.models.random_streams import RandomStreams

MAX_SERIES_LOG_ODDS = 0.05  # |log odds| below which the Taylor series about 0 are used


class Likelihood(nn.Module, ABC):
    """p(x | output), independent over the cells that exist."""

    constant = 0.0  # the constant of -log p in each cell, which `misfit` omits

    @abstractmethod
    def per_cell(self, x: Float[Tensor, "*#lead y x"], output: Float[Tensor, "*#lead y x"]) -> Tensor:
        """-log p(x | output) of each cell, without constants."""

    @abstractmethod
    def mean(self, output: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead y x"]:
        """E[x | output]."""

    @abstractmethod
    def draw(
        self, output: Float[Tensor, "batch members variable y x"], streams: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        """Draw x."""

    def misfit(
        self, x: Float[Tensor, "*#lead variable y x"], output: Float[Tensor, "*#lead variable y x"],
        exists: Bool[Tensor, "y x"],
    ) -> Float[Tensor, "*rows"]:  # fmt: skip
        """-log p(x | output) without constants, summed over the cells that exist."""
        return (self.per_cell(x, output) * exists).sum(dim=(-3, -2, -1))

    def log_prob(
        self, x: Float[Tensor, "*#lead variable y x"], output: Float[Tensor, "*#lead variable y x"],
        exists: Bool[Tensor, "y x"],
    ) -> Float[Tensor, "*rows"]:  # fmt: skip
        """log p(x | output), in nats."""
        cells = x.shape[-3] * exists.sum()
        return -self.misfit(x, output, exists) - cells * self.constant


class Gaussian(Likelihood):
    """p(x | z) = N(decoder, sigma^2) in each cell.

    Parameters
    ----------
    sigma
        Standard deviation, in units of standardised states; its initial value if it is learned.
    learned
        Whether sigma, a scalar, is learned with the network.
    """

    constant = math.log(2 * math.pi) / 2

    def __init__(self, sigma: Positive = 1.0, learned: bool = False):
        super().__init__()
        self.log_sigma = nn.Parameter(torch.tensor(math.log(sigma)), requires_grad=learned)

    def per_cell(self, x: Float[Tensor, "*#lead y x"], output: Float[Tensor, "*#lead y x"]) -> Tensor:
        """(x - mean)^2 / (2 sigma^2) + log sigma."""
        return (x - output) ** 2 / (2 * torch.exp(2 * self.log_sigma)) + self.log_sigma

    def mean(self, output: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead y x"]:
        return output

    def draw(
        self, output: Float[Tensor, "batch members variable y x"], streams: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        return output + torch.exp(self.log_sigma) * streams.normal(*output.shape[2:])


class LearnedGaussian(Gaussian):
    """A Gaussian with learned sigma, initially 0.5."""

    def __init__(self) -> None:
        super().__init__(0.5, learned=True)


class Bernoulli(Likelihood):
    """p(x | z) = m^x (1 - m)^(1 - x), m = sigmoid(decoder). It is a likelihood only if x is 0 or 1."""

    def per_cell(self, x: Float[Tensor, "*#lead y x"], output: Float[Tensor, "*#lead y x"]) -> Tensor:
        """log(1 + exp(output)) - x output."""
        return F.softplus(output) - x * output

    def mean(self, output: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead y x"]:
        return torch.sigmoid(output)

    def draw(
        self, output: Float[Tensor, "batch members variable y x"], streams: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        return (streams.uniform(*output.shape[2:]) < torch.sigmoid(output)).to(output.dtype)


class ContinuousBernoulli(Likelihood):
    """p(x | z) = C m^x (1 - m)^(1 - x) on [0, 1] (Loaiza-Ganem and Cunningham 2019, eq. 5), m = sigmoid(l).

    In the log odds l the density is exp(l x) l / (exp(l) - 1): log p = l x - softplus(l) + log C,
    log C = log(l coth(l / 2)), for l = 0 log 2; E[x] = 1 / (1 - exp(-l)) - 1 / l, for l = 0 a half.
    Both are 0 / 0 at l = 0, where their series in l are used.
    """

    def per_cell(self, x: Float[Tensor, "*#lead y x"], output: Float[Tensor, "*#lead y x"]) -> Tensor:
        return F.softplus(output) - x * output - log_normaliser(output)

    def mean(self, output: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead y x"]:
        near = output.abs() < MAX_SERIES_LOG_ODDS
        far = torch.where(near, 1.0, output)
        series = 0.5 + output / 12 - output**3 / 720 + output**5 / 30240
        return torch.where(near, series, -1 / torch.expm1(-far) - 1 / far)

    def draw(
        self, output: Float[Tensor, "batch members variable y x"], streams: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        """x = log(1 + u (exp(l) - 1)) / l, computed for -|l|, which cannot overflow, and reflected if l > 0."""
        u, size = streams.uniform(*output.shape[2:]), output.abs()
        near = size < 1e-3
        far = torch.where(near, 1.0, size)
        down = -torch.log1p(u * torch.expm1(-far)) / far  # a draw of the log odds -|l|
        falling = torch.where(near, u - size * u * (1 - u) / 2, down)
        return torch.where(output < 0, falling, 1 - falling).clamp(0, 1)


def log_normaliser(log_odds: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log C of a continuous Bernoulli: log(l coth(l / 2)) = log(2 artanh(1 - 2 m) / (1 - 2 m)), m = sigmoid(l)."""
    near = log_odds.abs() < MAX_SERIES_LOG_ODDS
    far = torch.where(near, 1.0, log_odds.abs())
    series = math.log(2) + log_odds**2 / 12 - 7 * log_odds**4 / 1440
    return torch.where(
        near, series, torch.log(far) + torch.log1p(torch.exp(-far)) - torch.log(-torch.expm1(-far))
    )
