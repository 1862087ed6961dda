"""The continuous ranked probability score as a loss, for an ensemble (the fair score) and a normal distribution."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def fair_crps(
    draws: Float[Tensor, "batch members *shape"], truth: Float[Tensor, "batch *shape"]
) -> Float[Tensor, "batch *shape"]:
    """mean_i |x_i - y| - 1 / (2 M (M - 1)) sum_ij |x_i - x_j|; for M = 1 the absolute error.

    Pairs are summed by their difference in index, which for ten members takes a third of the time of sorting; the
    gradient stores M (M - 1) / 2 differences. Dividing by M^2 instead would reward too little spread. Ferro (2014),
    eq. 8; Zamo and Naveau (2018), eq. 7.
    """
    members = draws.shape[1]
    skill = (draws - truth[:, None]).abs().mean(dim=1)
    if members == 1:
        return skill
    pairs = sum((draws[:, shift:] - draws[:, :-shift]).abs().sum(dim=1) for shift in range(1, members))
    return skill - pairs / (members * (members - 1))


def area_mean_crps(
    draws: Float[Tensor, "batch members variable y x"], truth: Float[Tensor, "batch variable y x"],
    weight: Float[Tensor, "y x"],
) -> Float[Tensor, ""]:  # fmt: skip
    """The fair CRPS, averaged over data and variables, with weights of the cells that sum to 1."""
    return (fair_crps(draws, truth) * weight).sum(dim=(2, 3)).mean()


def normal_crps(error: Float[Tensor, "*shape"], sigma: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = error / sigma (Gneiting et al. 2005, eq. 5).

    `error` is the signed error of the mean.
    """
    z = error / sigma
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return sigma * (z * torch.erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))
