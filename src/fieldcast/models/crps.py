"""The continuous ranked probability score as a loss: fair, so that too small a spread is not rewarded."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def fair_crps(
    draws: Float[Tensor, "batch members *shape"], truth: Float[Tensor, "batch *shape"]
) -> Float[Tensor, "batch *shape"]:
    """mean_i |x_i - y| - 1 / (2 M (M - 1)) sum_ij |x_i - x_j|; for M = 1 the absolute error.

    The spread is computed from the sorted members, sum_ij |x_i - x_j| = 2 sum_r (2 r - M - 1) x_(r), so that nothing
    of size M x M is made. Ferro (2014), eq. 8; Zamo and Naveau (2018), eq. 7.
    """
    members = draws.shape[1]
    skill = (draws - truth[:, None]).abs().mean(dim=1)
    if members == 1:
        return skill
    if members == 2:
        return skill - (draws[:, 0] - draws[:, 1]).abs() / 2
    ranked = draws.sort(dim=1).values
    weights = torch.arange(1 - members, members, 2, device=draws.device, dtype=draws.dtype) / (
        members * (members - 1)
    )
    return skill - torch.tensordot(ranked.movedim(1, -1), weights, dims=1)
