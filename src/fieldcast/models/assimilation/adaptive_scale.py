"""A scale s of background error covariances, from the innovations up to the present.

    s = <d^2 - R> / <diag(H P H^T)>,

d innovations, R their error variances, P the covariance for s = 1; the running means < > forget by the factor `MEMORY`
a step (Wang and Bishop 2003, "A comparison of breeding and ensemble transform Kalman filter ensemble forecast schemes",
section 3c).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.gaussian.robustness import LARGEST_DEPARTURE

MEMORY = 0.9  # a time scale of ten steps
SCALES = 0.02, 4.0  # limits of s
REMEMBERED = "scale", "departure", "expected"  # s and the two running means, one of each for a cycle


def unscaled(count: int, device: torch.device) -> dict[str, Tensor]:
    """The memory of `count` cycles before their first step: s = 1."""
    ones = torch.ones(count, dtype=torch.float64, device=device)
    return {"scale": ones, "departure": 0 * ones, "expected": 0 * ones}


def rescale(
    memory: dict[str, Tensor], cycle: int, d: Float[Tensor, " observed"],
    error: Float[Tensor, " observed"], expected: Float[Tensor, " observed"],
) -> float:  # fmt: skip
    """Update the memory of a cycle by innovations of error variances R and expected variances HPH^T; return s.

    An innovation counts as five expected standard deviations at most, and their mean excess over R as the largest s
    times its expected value at most, so that neither gross errors nor a first step inflate s.
    """
    limit = LARGEST_DEPARTURE * (memory["scale"][cycle] * expected + error).sqrt()
    d = d.clamp(-limit, limit)
    excess = (d.square() - error).mean().clamp(max=SCALES[1] * expected.mean())
    for name, value in (("departure", excess), ("expected", expected.mean())):
        memory[name][cycle] = MEMORY * memory[name][cycle] + (1 - MEMORY) * value
    if memory["expected"][cycle] > 0:  # cells without variance say nothing about s
        memory["scale"][cycle] = (memory["departure"][cycle] / memory["expected"][cycle]).clamp(*SCALES)
    return float(memory["scale"][cycle])
