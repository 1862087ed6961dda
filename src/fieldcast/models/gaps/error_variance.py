"""Error variance as a function of its predictors.

The variance of the error of a value grows with the variance s^2 that the method reports, the number of steps d from an
observation of the same cell, and the distance D from an observation of the same time; it falls with the number N of
observations of the cell:

    v = n + sigma^2 (a + m / N + sum_k e_k (1 - exp(-(D / D_k)^2))) + s^2 (b + sum_k c_k (1 - exp(-d / d_k))),

with the climatological variance sigma^2 of the cell; no coefficient n, a, m, e, b, c is negative, so that v never falls
as s, d, D or 1 / N grow. Far from observations methods report too small a variance: truncated modes, and errors of the
fitted ones, matter most there. They also treat the mean of a cell as known, although N correlated values determine it
only as well as N / m independent ones would.

D is a chord of the unit sphere, and D_k is in units of the median of D. The coefficients minimise the weighted mean of
log v + e^2 / v over errors e (twice the negative log-likelihood of a Gaussian) by multiplicative updates for the
Itakura-Saito divergence (Fevotte, Bertin and Durrieu 2009),

    c_j <- c_j (sum f_j e^2 / v^2) / (sum f_j / v),    v = sum_j c_j f_j,

where c_j is any of the coefficients, and f_j the function that it multiplies. The root of the factor is known never to
raise the mean (Fevotte and Idier 2011), and takes twice as many updates to the same coefficients. The e^2 of a censored
truth is its expectation given v and the bound (`censored.expected_squares`), renewed every five updates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from fieldcast.models.gaps.censored import expected_squares
from fieldcast.models.gaps.record import Bounds
from fieldcast.models.space import evenly

STEP_SCALES = 1.0, 4.0, 16.0, 64.0  # d_k
DISTANCE_SCALES = 1.5, 3.0, 6.0  # D_k, in units of the median distance
ITERATIONS = 150  # multiplicative updates of the coefficients
RENEWED = 5  # updates after which the expected squares of the errors of censored values are renewed
RANGE_QUANTILE = 0.95  # quantile of the fitted d and D beyond which v no longer grows with them
MAX_ERRORS = 20_000  # largest number of errors that the coefficients are fitted to
MIN_VARIANCE = 1e-6  # smallest variance, as a share of the climatological one


class ErrorPredictors(NamedTuple):
    """Predictors of the error variance of some values."""

    spread: Float[Tensor, "*n"]  # s
    climatological: Float[Tensor, "*n"]  # sigma
    steps: Float[Tensor, "*n"]  # d
    distance: Float[Tensor, "*n"]  # D; infinite if the time has no observations
    count: Float[Tensor, "*n"]  # N

    def at(self, selected: Shaped[Tensor, " some"]) -> ErrorPredictors:
        """Select the predictors of some values."""
        return ErrorPredictors(*(predictor[selected] for predictor in self))

    @staticmethod
    def concatenate(sequence: Sequence[ErrorPredictors]) -> ErrorPredictors:
        """Concatenate the predictors of several sets of values."""
        return ErrorPredictors(*(torch.cat(tensors) for tensors in zip(*sequence, strict=True)))


class ErrorVariance(NamedTuple):
    """The fitted function v of predictors, at least `MIN_VARIANCE` of the climatological variance.

    `coefficients` are n, a, m, e_k, b, c_k; `distance_unit` is the unit of D_k. v grows no more with d and D beyond
    `longest` and `farthest`, the 95th percentiles of the values that it was fitted to.
    """

    coefficients: tuple[float, ...]
    distance_unit: float
    longest: float
    farthest: float

    def __call__(self, predictors: ErrorPredictors) -> Float[Tensor, "*n"]:
        """The error variance v, in double precision."""
        predictors = ErrorPredictors(*(predictor.double() for predictor in predictors))
        limited = predictors._replace(
            steps=predictors.steps.clamp(max=self.longest),
            distance=predictors.distance.clamp(max=self.farthest),
        )
        functions = terms(limited, self.distance_unit)
        v = sum(a * f for a, f in zip(self.coefficients, functions, strict=True))
        return torch.maximum(torch.as_tensor(v), MIN_VARIANCE * predictors.climatological.square())


# v = s^2: b is 1, and all other coefficients are 0
AS_REPORTED = ErrorVariance(
    (0.0,) * (3 + len(DISTANCE_SCALES)) + (1.0,) + (0.0,) * len(STEP_SCALES), 1.0, 0.0, 0.0
)


class ErrorVariances(NamedTuple):
    """v of values in gaps, and of values at times without any observation of their variable."""

    in_gaps: ErrorVariance
    at_whole_times: ErrorVariance

    def __call__(self, predictors: ErrorPredictors, whole: Bool[Tensor, "*#n"]) -> Float[Tensor, "*n"]:
        """The error variance v; `whole` is the mask of values at times without any observation of their variable."""
        return torch.where(whole, self.at_whole_times(predictors), self.in_gaps(predictors))


def terms(predictors: ErrorPredictors, distance_unit: float) -> Iterator[Float[Tensor, "*n"]]:
    """The functions f_j that n, a, m, e_k, b and c_k multiply, one after another."""
    variance, reported = predictors.climatological.square(), predictors.spread.square()
    yield torch.ones_like(variance)
    yield variance
    yield variance / predictors.count.clamp(min=1)
    for scale in DISTANCE_SCALES:
        yield variance * (1 - torch.exp(-(predictors.distance / (scale * distance_unit)).square()))
    yield reported
    for scale in STEP_SCALES:
        yield reported * (1 - torch.exp(-predictors.steps / scale))


def error_variance(
    error: Float[Tensor, " n"], predictors: ErrorPredictors, weight: Float[Tensor, " n"],
    beyond: Bounds | None = None, noise: Float[Tensor, " n"] | None = None,
) -> ErrorVariance:  # fmt: skip
    """Fit v to weighted errors.

    `beyond` are the bounds minus the truth. With `noise`, the variance of the errors of the observed values themselves,
    errors are relative to these, and their variance is v + noise.
    """
    index = evenly(len(error), MAX_ERRORS).to(error.device)
    predictors = ErrorPredictors(*(predictor[index].double() for predictor in predictors))
    distance_unit = median_distance(predictors.distance)
    f, w = torch.stack([*terms(predictors, distance_unit)]), weight[index].double()
    least = MIN_VARIANCE * predictors.climatological.square()
    e, limits = error[index].double(), beyond and beyond.at(index)
    known = torch.zeros_like(least) if noise is None else noise[index].double()
    square = torch.maximum(e.square(), least)
    total = f @ w
    a = torch.where(total > 0, (w * square).sum() / total, 0.0) / len(f)
    for update in range(ITERATIONS):
        v = torch.maximum(a @ f, least) + known
        if limits is not None and update % RENEWED == 0:
            square = torch.maximum(expected_squares(e, limits, v), least)
        scaled = w / v
        a = a * (f @ (scaled * square / v)) / (f @ scaled).clamp(min=torch.finfo(f.dtype).tiny)
    return ErrorVariance(
        tuple(a.tolist()), distance_unit, range_limit(predictors.steps), range_limit(predictors.distance)
    )


def range_limit(x: Float[Tensor, " n"]) -> float:
    """The 95th percentile, which may be infinite."""
    return float(x.sort().values[int(RANGE_QUANTILE * (len(x) - 1))])


def median_distance(distance: Float[Tensor, " n"]) -> float:
    """The median of the positive finite distances, or 1 without any."""
    finite = distance[distance.isfinite() & (distance > 0)]
    return float(finite.median()) if len(finite) else 1.0
