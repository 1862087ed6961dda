"""Robustness against observations that the training data cannot explain.

A cell that hardly varies in training, such as sea water that ice holds at its freezing point, has a variance that
stems from a few days. A real departure there is tens of standard deviations, and a gain computed from that variance
amplifies it into every correlated cell. Three measures prevent this.

1. An independent variance U^2 of a value if the kurtosis of its training anomalies a is above 100, that is if fewer
   than one day in a hundred accounts for their variance s^2:

       U^2 = min(max|a| / 2, 0.7)^2 - s^2    (in variances of the variable).

2. A check of each observation y. Its innovation d against the background, of expected variance S, and its departure
   r from the prediction by the other observations, of expected variance v = 1 / (S^-1)_ii, must both exceed five
   standard deviations for it to fail. Then the variance of its error grows by the smaller of

       d^2 / 25 - S,    r^2 / 25 - v,

   which makes it a departure of five standard deviations, the largest accepted, and lets its weight fall as 1 / d^2.
   (Sakov and Sandery 2017, "An adaptive quality control procedure for data assimilation", have the first of the two
   with a smooth threshold.) An extreme that its neighbours confirm passes.
3. An additional variance of the members at unobserved points near an observation that failed,

       added_variance(p) = max_i min(excess_i, 1) exp(-(|p - p_i| / l)^2),    l^2 = 4 pi g^2 / number of observations,

   g the radius of gyration of the domain (1 for the globe); at most the variance of the variable, because a reading may
   be wrong by any amount.

A cell that never varied in training is treated as constant.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.innovations import MAX_INNOVATION
from fieldcast.models.gaussian.grid_points import GridPoints

# kurtosis above which variance comes from rare events: a Gaussian has 3, daily rain some tens
RARE_KURTOSIS = 100.0
RARE_DEVIATIONS = 2.0  # number of standard deviations that the largest anomaly of rare events is taken to be
MAX_RARE_DEVIATION = 0.7  # largest standard deviation of rare events, in standard deviations of the variable
# choices of the smallest observation error, in standard deviations of the variable
FLOORS = (0.0, 0.01, 0.03, 0.1)
ROUNDING = 64  # smallest error variance, in units of machine precision times the local variance
# weight of the mean variance of all values, as many as a value needs for a climatology
PRIOR_OBSERVATIONS = 10
ROWS_PER_CHUNK = 64  # rows, or failed observations, that are processed together, to bound the memory


class MomentSums:
    """Second and fourth moments and largest squares of training anomalies for each value, accumulated in chunks."""

    def __init__(self) -> None:
        self.count: int | Tensor = 0
        self.second, self.fourth, self.largest = torch.zeros(3, dtype=torch.float64)

    def add(
        self, anomalies: Float[Tensor, "time *values"], observed: Bool[Tensor, "time *values"] | None = None
    ) -> MomentSums:
        """Add anomalies, which are 0 where they are not observed."""
        for number, chunk in enumerate(anomalies.split(ROWS_PER_CHUNK)):
            square = chunk.double().square()
            rows = slice(number * ROWS_PER_CHUNK, number * ROWS_PER_CHUNK + len(chunk))
            self.count = self.count + (len(chunk) if observed is None else observed[rows].sum(0))
            self.second = self.second.to(square) + square.sum(0)
            self.fourth = self.fourth.to(square) + square.square().sum(0)
            self.largest = torch.maximum(self.largest.to(square), square.amax(0))
        return self

    @property
    def variance(self) -> Float[Tensor, "*values"]:
        """s^2; if any value is missing, each has `PRIOR_OBSERVATIONS` further observations of the mean variance."""
        if isinstance(self.count, int):
            return self.second / self.count
        return (self.second + PRIOR_OBSERVATIONS * self.second.sum() / self.count.sum()) / (
            self.count + PRIOR_OBSERVATIONS
        )

    @property
    def rare(self) -> Float[Tensor, "*values"]:
        """U^2, the variance of rare events."""
        scale = (self.largest.sqrt() / RARE_DEVIATIONS).clamp(max=MAX_RARE_DEVIATION)
        rare = self.fourth / torch.as_tensor(self.count).clamp(min=1) > RARE_KURTOSIS * self.variance.square()
        return torch.where(rare, scale.square() - self.variance, 0.0).clamp(min=0)


def observation_error(
    instrument: Float[Tensor, " observed"],
    local: Float[Tensor, "*batch observed"],
    nugget: float,
    floor: float,
    dtype: torch.dtype,
) -> Float[Tensor, "*batch observed"]:
    """R = instrument + nugget D^2 + floor^2: error variances of observations with local variances D^2, `local`.

    R always includes the rounding error of the covariance, which is computed in `dtype`.
    """
    return instrument + (nugget + ROUNDING * torch.finfo(dtype).eps) * local.double() + floor**2


def excess(
    departure: Float[Tensor, "*shape"], expected: Float[Tensor, " observed"]
) -> Float[Tensor, "*shape"]:
    """Variance to add to `expected` so that a departure is `MAX_INNOVATION` standard deviations; 0 if it is smaller."""
    return (departure.square() / MAX_INNOVATION**2 - expected).clamp(min=0)


def added_variance(
    excess: Float[Tensor, " observed"], index: Int[Tensor, " observed"], grid: GridPoints, variables: int
) -> Float[Tensor, " values"]:
    """Additional variance of members at unobserved points near observations that failed.

    `index` are the observed values among (variable, point), flattened.
    """
    out = excess.new_zeros(variables, len(grid))
    variable, point = index // len(grid), index % len(grid)
    for v in variable[excess > 0].unique().tolist():
        square = 4 * math.pi * grid.extent / (variable == v).sum()  # l^2
        for failed in ((excess > 0) & (variable == v)).nonzero()[:, 0].split(ROWS_PER_CHUNK):
            chord = torch.cdist(grid.points[point[failed]], grid.points)
            near = excess[failed, None].clamp(max=1) * torch.exp(-chord.square() / square).to(out)
            out[v] = torch.maximum(out[v], near.amax(0))
    out = out.flatten()
    out[index] = 0
    return out
