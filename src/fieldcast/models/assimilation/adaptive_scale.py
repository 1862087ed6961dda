"""A scale s of background error covariances, from the innovations up to the present.

    s = <d^2 - R> / <diag(H P H^T)>,

d innovations, R their error variances, P the covariance for s = 1; the running means < > give the past the weight
`MEMORY` at each step (Wang and Bishop 2003, "A comparison of breeding and ensemble transform Kalman filter ensemble
forecast schemes", section 3c).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.departures import MAX_DEPARTURE

NORMAL_MEDIAN = 0.6745  # median of |z| for z ~ N(0, 1)
MEMORY = 0.9  # weight of the past in the running means: a time scale of ten steps
SCALES = 0.02, 4.0  # smallest and largest s
# names in the memory: s and the two running means of each cycle
REMEMBERED = "scale", "excess", "expected"


def unscaled(count: int, device: torch.device) -> dict[str, Tensor]:
    """The memory of `count` cycles before their first step: s = 1."""
    ones = torch.ones(count, dtype=torch.float64, device=device)
    return {"scale": ones, "excess": 0 * ones, "expected": 0 * ones}


def rescale(
    memory: dict[str, Tensor], cycle: int, d: Float[Tensor, " observed"],
    error: Float[Tensor, " observed"], expected: Float[Tensor, " observed"],
) -> float:  # fmt: skip
    """Update the memory of a cycle by innovations of error variances R and expected variances HPH^T; return s.

    An innovation counts unless it exceeds `MAX_DEPARTURE` robust standard deviations. The robust standard deviation is
    sqrt(s HPH^T + R), with the last s, times the median of |d| / sqrt(s HPH^T + R) over 0.6745, the median for a
    correct s. The mean excess over R is limited to the largest s times its expected value. So neither gross errors nor
    a first step inflate s. A mean, not a median, gives s, because forecast errors have heavier tails than a Gaussian.
    """
    informative = expected > 0  # cells without variance say nothing about s
    ratio = d.abs() / (memory["scale"][cycle] * expected + error).sqrt()
    if informative.any():
        informative &= ratio <= MAX_DEPARTURE * ratio[informative].quantile(0.5) / NORMAL_MEDIAN
        expected = expected[informative].mean()
        excess = (d.square() - error)[informative].mean().clamp(max=SCALES[1] * expected)
        for name, value in (("excess", excess), ("expected", expected)):
            memory[name][cycle] = MEMORY * memory[name][cycle] + (1 - MEMORY) * value
        memory["scale"][cycle] = (memory["excess"][cycle] / memory["expected"][cycle]).clamp(*SCALES)
    return float(memory["scale"][cycle])
