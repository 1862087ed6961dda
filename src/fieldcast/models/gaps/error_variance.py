"""Variance of errors as a function of what makes it grow.

The variance of the error of a value grows with the variance s^2 that the method claims, the number of steps d from an
observation of its cell, and the distance D from an observation of its time; it falls with the number N of observations
of the cell:

    v = n + sigma^2 (a + m / N + sum_k e_k (1 - exp(-(D / D_k)^2))) + s^2 (b + sum_k c_k (1 - exp(-d / d_k))),

with the climatological variance sigma^2 of the cell; no coefficient n, a, m, e, b, c is negative, so that v never falls
as s, d, D or 1 / N grow. Methods claim too little far from observations: the modes that they leave out, and errors of
those that they fit, matter most there. They take the mean of a cell as known, which N values in succession, not
independent of each other, determine as well as N / m independent ones would.

D is a chord of the unit sphere, and D_k is in units of the median of D. The coefficients minimise the weighted mean of
log v + e^2 / v over errors e, the likelihood of a Gaussian, by multiplicative
updates that never raise it (majorisation-minimisation for the divergence of Itakura and Saito: Fevotte and Idier 2011),

    c_j <- c_j (sum f_j e^2 / v^2 / sum f_j / v)^(1/2),    v = sum_j c_j f_j,

c_j here any of the coefficients n, a, m, e_k, b, c_k, and f_j the function that it multiplies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.models.selection import evenly

STEPS = 1.0, 4.0, 16.0, 64.0  # d_k
DISTANCES = 1.5, 3.0, 6.0  # D_k, in units of the usual distance
UPDATES = 300
MOST_OF = 0.95  # of the errors, which determine how far v grows
MOST = 20_000  # errors that determine the coefficients
LEAST = 1e-6  # least variance, as a share of the climatological one


class Claims(NamedTuple):
    """Properties of some values that the variance of their errors depends on."""

    spread: Float[Tensor, "*n"]  # s
    climatological: Float[Tensor, "*n"]  # sigma
    steps: Float[Tensor, "*n"]  # d
    distance: Float[Tensor, "*n"]  # D; infinite without observations at the time
    count: Float[Tensor, "*n"]  # N

    def at(self, selected: Bool[Tensor, " n"]) -> Claims:
        """Select the claims of some values."""
        return Claims(*(part[selected] for part in self))

    @staticmethod
    def joined(parts: Sequence[Claims]) -> Claims:
        """Claims of several values one after another."""
        return Claims(*(torch.cat(part) for part in zip(*parts, strict=True)))


class ErrorVariance(NamedTuple):
    """v of claims, at least `LEAST` of the climatological variance.

    `coefficients` are n, a, m, e_k, b and c_k, and `usual` is the unit of D_k. Beyond `longest` and `farthest`, which
    95 % of the d and D that it was fitted to do not exceed, v does not grow with them.
    """

    coefficients: tuple[float, ...]
    usual: float
    longest: float
    farthest: float

    def __call__(self, claims: Claims) -> Float[Tensor, "*n"]:
        """The error variance v, in double precision."""
        claims = Claims(*(part.double() for part in claims))
        limited = claims._replace(
            steps=claims.steps.clamp(max=self.longest), distance=claims.distance.clamp(max=self.farthest)
        )
        v = sum(a * f for a, f in zip(self.coefficients, terms(limited, self.usual), strict=True))
        return torch.maximum(torch.as_tensor(v), LEAST * claims.climatological.square())


class ErrorVariances(NamedTuple):
    """v of values in gaps, and of those at times without any observation of their variable."""

    in_gaps: ErrorVariance
    at_whole_times: ErrorVariance

    def __call__(self, claims: Claims, whole: Bool[Tensor, "*#n"]) -> Float[Tensor, "*n"]:
        """The error variance v; `whole` are the values at times without any of their variable."""
        return torch.where(whole, self.at_whole_times(claims), self.in_gaps(claims))


def terms(claims: Claims, usual: float) -> list[Float[Tensor, "*n"]]:
    """The factors of n, a, m, e_k, b and c_k."""
    variance, claimed = claims.climatological.square(), claims.spread.square()
    near = [torch.exp(-(claims.distance / (scale * usual)).square()) for scale in DISTANCES]
    recent = [torch.exp(-claims.steps / scale) for scale in STEPS]
    return [
        torch.ones_like(variance),
        variance,
        variance / claims.count.clamp(min=1),
        *(variance * (1 - f) for f in near),
        claimed,
        *(claimed * (1 - f) for f in recent),
    ]


def error_variance(error: Float[Tensor, " n"], claims: Claims, weight: Float[Tensor, " n"]) -> ErrorVariance:
    """Fit v to errors, each with its weight."""
    some = evenly(len(error), MOST).to(error.device)
    claims = Claims(*(part[some].double() for part in claims))
    usual = median_distance(claims.distance)
    f, w = torch.stack(terms(claims, usual), dim=1), weight[some].double()
    least = LEAST * claims.climatological.square()
    square = torch.maximum(error[some].double().square(), least)
    a = ((w * square).sum() / (w @ f).clamp(min=torch.finfo(f.dtype).tiny)) / f.shape[1]
    for _ in range(UPDATES):
        v = torch.maximum(f @ a, least)
        a = a * (((w * square / v.square()) @ f) / ((w / v) @ f).clamp(min=torch.finfo(f.dtype).tiny)).sqrt()
    return ErrorVariance(tuple(a.tolist()), usual, largest(claims.steps), largest(claims.distance))


def largest(x: Float[Tensor, " n"]) -> float:
    """The 95th percentile, which may be infinite."""
    return float(x.sort().values[int(MOST_OF * (len(x) - 1))])


def median_distance(distance: Float[Tensor, " n"]) -> float:
    """The median of finite distances, 1 if there is none."""
    finite = distance[distance.isfinite() & (distance > 0)]
    return float(finite.median()) if len(finite) else 1.0
