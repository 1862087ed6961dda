"""Components of the covariance of optimal interpolation, from training anomalies."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.covariance_terms import SecondMoment

MAX_DENSE_BYTES = 1.7e9  # largest size of the second moments of all folds that are stored
MIN_DEVIATION = 1e-12  # smallest standard deviation: constant values have no correlation


class CovarianceComponents(NamedTuple):
    """Components of the covariance; values are (variable, point), flattened."""

    moments: SecondMoment  # S
    deviation: Float[Tensor, " values"]  # D
    between: Float[Tensor, "variable variable"]  # Q
    rare: Float[Tensor, " values"]  # U^2


def training_statistics(
    anomalies: Float[Tensor, "training variable p"],
    included: Bool[Tensor, " training"],
    area: Float[Tensor, " p"],
    folds: int,
) -> CovarianceComponents:
    """Statistics of the included days; S is formed if the memory suffices for that of all `folds`."""
    values = anomalies[0].numel()
    moments = SecondMoment(anomalies.flatten(1), included.to(anomalies.dtype) / included.sum())
    if folds * values**2 * 4 <= MAX_DENSE_BYTES:
        moments = moments.densified()
    a = anomalies[included]
    deviation = a.square().mean(0).sqrt()  # (V, P)
    share = (area / area.sum() / len(a)).sqrt().to(a)
    standard = (a / deviation.clamp(min=MIN_DEVIATION) * share).transpose(0, 1).flatten(1)
    between = standard @ standard.T
    scale = between.diagonal().sqrt().clamp(min=MIN_DEVIATION)
    rare = robustness.MomentSums().add(a).rare.flatten()
    return CovarianceComponents(moments, deviation.flatten(), between / scale[:, None] / scale, rare)
