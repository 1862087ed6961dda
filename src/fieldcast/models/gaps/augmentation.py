"""Complete training records for a model that needs them: data augmentation (Tanner and Wong 1987).

The missing values of each training state are drawn given its observed ones: at first from a low-rank Gaussian fitted by
expectation-maximisation, then from the model that was fitted to the record so completed (stochastic EM: Celeux and
Diebolt 1985). Draws, unlike means, keep the variance, and with it the covariance of the record.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.gaps.cells import deviations
from fieldcast.models.gaps.expectation_maximisation import RANKS, fitted_rank
from fieldcast.models.random_streams import RandomStreams, seed_for

ROUNDS = 2  # of drawing from the model itself
OPERATIONS = 1e12  # of the factorisations of one round: some minutes


def first_draw(
    x: Float[Tensor, "time value"], observed: Bool[Tensor, "time value"]
) -> Float[Tensor, "time value"]:
    """Draw the missing values from probabilistic PCA of values scaled by their standard deviations."""
    deviation = deviations(x, observed)
    scaled = x / deviation
    model = fitted_rank(scaled, observed, RANKS)
    return model.draw(scaled, observed, streams(torch.arange(len(x), device=x.device)))[:, 0] * deviation


def streams(times: Int[Tensor, " time"], turn: int = 0) -> RandomStreams:
    """Random numbers of the draws at some times."""
    return RandomStreams(seed_for("augmentation"), times, step=turn)


def affordable(observed: Bool[Tensor, "time value"]) -> Int[Tensor, " some"]:
    """Times whose factorisations take at most `OPERATIONS` together, spread evenly over those with gaps."""
    count = observed.sum(1).double()
    some = ((count > 0) & (count < observed.shape[1])).nonzero()[:, 0]
    total = float((count[some] ** 3 / 3).sum())
    share = min(1.0, OPERATIONS / total) if total else 1.0
    return some[torch.linspace(0, len(some) - 1, int(share * len(some)), device=some.device).round().long()]
