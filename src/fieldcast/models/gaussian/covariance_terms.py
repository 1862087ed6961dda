"""Terms of a covariance that is never formed as a whole.

Each term adds its block for the observed values, and its product with a few columns of weights. V variables at P points
are V * P values, flattened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.geometry import MEAN_EARTH_RADIUS

# Positive definite correlations on the sphere: exponential, Matérn and a taper of compact support.
#
# Distances are chords |p - q| of the unit sphere times the Earth's radius (km): a function that is positive definite
# in three dimensions stays so on the sphere in terms of the chord. The great-circle distance lacks this property: as
# a function of it the Gaspari-Cohn taper ceases to be positive definite when it reaches beyond the antipode. The
# exponential is the exception used here (Gneiting 2013, "Strictly and non-strictly positive definite functions on
# spheres", table 1).


EARTH_RADIUS_KM = MEAN_EARTH_RADIUS
MAX_TABLE_POINTS = 4096  # largest number of points whose correlations are stored for all pairs (64 MB)


def gaspari_cohn(chord: Float[Tensor, "*shape"], support: float) -> Float[Tensor, "*shape"]:
    """Gaspari and Cohn (1999, eq. 4.10): a correlation, zero from `support` (km of chord) on."""
    r = 2 / support * chord
    near = (((-r / 4 + 1 / 2) * r + 5 / 8) * r - 5 / 3) * r * r + 1
    z = r.clamp(1, 2)
    # the printed polynomial, in factors: exactly 0 at 2
    far = (2 - z) ** 4 * ((2 * z + 4) * z - 1) / (24 * z)
    return torch.where(r <= 1, near, far)


def exponential(chord: Float[Tensor, "*shape"], length: float) -> Float[Tensor, "*shape"]:
    """exp(-d / length), d the great-circle distance in km."""
    return torch.exp(
        torch.asin((chord / (2 * EARTH_RADIUS_KM)).clamp(max=1)) * (-2 * EARTH_RADIUS_KM / length)
    )


def matern32(chord: Float[Tensor, "*shape"], length: float) -> Float[Tensor, "*shape"]:
    """Matérn, nu = 3/2: (1 + r) exp(-r), r = sqrt(3) chord / length (Rasmussen and Williams 2006, 4.17)."""
    r = chord * (3**0.5 / length)
    return (1 + r) * torch.exp(-r)


def matern52(chord: Float[Tensor, "*shape"], length: float) -> Float[Tensor, "*shape"]:
    """Matérn, nu = 5/2: (1 + r + r^2 / 3) exp(-r), r = sqrt(5) chord / length (ibid., 4.17)."""
    r = chord * (5**0.5 / length)
    return (1 + r + r.square() / 3) * torch.exp(-r)


Correlation = Literal["exponential", "matern32", "matern52"]
CORRELATIONS: dict[Correlation, Callable[[Tensor, float], Tensor]] = {
    "exponential": exponential,
    "matern32": matern32,
    "matern52": matern52,
}


def chord(p: Float[Tensor, "p 3"], q: Float[Tensor, "q 3"]) -> Float[Tensor, "p q"]:
    """Straight distances in km between points of the unit sphere, in the precision of the points."""
    return torch.cdist(p, q, compute_mode="donot_use_mm_for_euclid_dist").mul_(EARTH_RADIUS_KM)


class Kernel:
    """A correlation between points: a table of all pairs if there are few points, else computed on demand."""

    def __init__(
        self, function: Callable[[Tensor, float], Tensor], length: float, points: Float[Tensor, "p 3"]
    ):
        self.function, self.length, self.points = function, length, points
        self.table = function(chord(points, points), length) if len(points) <= MAX_TABLE_POINTS else None

    def block(
        self, first: Int[Tensor, " rows"], second: Int[Tensor, " columns"]
    ) -> Float[Tensor, "rows columns"]:
        """Correlations between points `first` and points `second`; a copy."""
        if self.table is not None:
            return self.table[first[:, None], second]
        p, i = torch.unique(first, return_inverse=True)  # variables share points: each pair is computed once
        q, j = torch.unique(second, return_inverse=True)
        return self.function(chord(self.points[p], self.points[q]), self.length)[i[:, None], j]

    def correlations_of(self, index: Int[Tensor, " rows"]) -> Float[Tensor, "rows p"]:
        """Correlations of the points `index` with all points; a copy."""
        if self.table is not None:
            return self.table[index]
        return self.function(chord(self.points[index], self.points), self.length)


OBSERVATIONS_PER_CHUNK = 1024  # observations whose rows of C are in memory together
COLUMNS_PER_BLOCK = 2048  # columns of a second moment that are computed together


def chunks(index: Int[Tensor, " observed"]) -> Iterator[slice]:
    """Consecutive slices of observed values, at most `OBSERVATIONS_PER_CHUNK` in each."""
    return (
        slice(i, min(i + OBSERVATIONS_PER_CHUNK, len(index)))
        for i in range(0, len(index), OBSERVATIONS_PER_CHUNK)
    )


class CovarianceTerm(ABC):
    """One term of a covariance between values."""

    weight: float

    @abstractmethod
    def unweighted(
        self, first: Int[Tensor, " rows"], second: Int[Tensor, " columns"]
    ) -> Float[Tensor, "rows columns"]:
        """A block of the term divided by its weight; a copy."""

    @abstractmethod
    def variance_of(self, index: Int[Tensor, " o"]) -> Float[Tensor, " o"]:
        """The diagonal of the term at some values."""

    def add_block(self, out: Float[Tensor, "o o"], index: Int[Tensor, " o"]) -> None:
        """Add the lower triangle of the block of the observed values."""
        for here in chunks(index):
            out[here, : here.stop].add_(self.unweighted(index[here], index[: here.stop]), alpha=self.weight)

    @abstractmethod
    def add_product(
        self, out: Float[Tensor, "r values"], index: Int[Tensor, " o"], weights: Float[Tensor, "r o"]
    ) -> None:
        """Add weights @ C[index]."""


@dataclass(frozen=True, eq=False)
class SecondMoment:
    """S = sum_t share_t a_t a_t^T, the second moment of anomalies about the climatology."""

    anomalies: Float[Tensor, "n values"]
    share: Float[Tensor, " n"]  # 1 / (number of days included); 0 for excluded days
    dense: Float[Tensor, "values values"] | None = None  # S itself, if memory allows

    def moments_of(self, index: Int[Tensor, " rows"]) -> Float[Tensor, "rows values"]:
        """Some rows of S; a copy."""
        if self.dense is not None:
            return self.dense[index]
        return (self.anomalies[:, index] * self.share[:, None]).T @ self.anomalies

    def block(
        self, first: Int[Tensor, " rows"], second: Int[Tensor, " columns"]
    ) -> Float[Tensor, "rows columns"]:
        """A block of S; a copy."""
        if self.dense is not None:
            return self.dense[first[:, None], second]
        return (self.anomalies[:, first] * self.share[:, None]).T @ self.anomalies[:, second]

    def densified(self) -> SecondMoment:
        """Return the moments with S formed, by blocks of one triangle."""
        scaled = self.anomalies[self.share > 0] * self.share[self.share > 0].sqrt()[:, None]
        s = scaled.new_empty(scaled.shape[1], scaled.shape[1])
        for start in range(0, len(s), COLUMNS_PER_BLOCK):
            block = slice(start, start + COLUMNS_PER_BLOCK)
            s[block, start:] = scaled[:, block].T @ scaled[:, start:]
            s[start + COLUMNS_PER_BLOCK :, block] = s[block, start + COLUMNS_PER_BLOCK :].T
        return SecondMoment(self.anomalies, self.share, s)


@dataclass(frozen=True, eq=False)
class Tapered(CovarianceTerm):
    """weight * T o S: all pairs of variables share the taper."""

    weight: float
    moments: SecondMoment
    taper: Kernel | None
    point_count: int

    def unweighted(
        self, first: Int[Tensor, " rows"], second: Int[Tensor, " columns"]
    ) -> Float[Tensor, "rows columns"]:
        part = self.moments.block(first, second)
        if self.taper is not None:
            part *= self.taper.block(first % self.point_count, second % self.point_count)
        return part

    def variance_of(self, index: Int[Tensor, " o"]) -> Float[Tensor, " o"]:
        s = self.moments
        # T is 1 on the diagonal
        return self.weight * (s.anomalies[:, index].square() * s.share[:, None]).sum(0)

    def add_product(
        self, out: Float[Tensor, "r values"], index: Int[Tensor, " o"], weights: Float[Tensor, "r o"]
    ) -> None:
        for here in chunks(index):
            part = self.moments.moments_of(index[here])
            if self.taper is not None:
                p, i = torch.unique(index[here] % self.point_count, return_inverse=True)
                part.unflatten(1, (-1, self.point_count)).mul_(self.taper.correlations_of(p)[i][:, None])
            out.addmm_(weights[:, here], part, alpha=self.weight)


@dataclass(frozen=True, eq=False)
class Parametric(CovarianceTerm):
    """weight * D (Q x rho) D: correlations Q between variables times rho in space, a Kronecker product."""

    weight: float
    deviation: Float[Tensor, " values"]  # D
    between: Float[Tensor, "variable variable"]  # Q
    kernel: Kernel  # rho

    def unweighted(
        self, first: Int[Tensor, " rows"], second: Int[Tensor, " columns"]
    ) -> Float[Tensor, "rows columns"]:
        point_count = len(self.kernel.points)
        part = self.kernel.block(first % point_count, second % point_count)
        part *= self.between[(first // point_count)[:, None], second // point_count]
        part *= self.deviation[first][:, None] * self.deviation[second]
        return part

    def variance_of(self, index: Int[Tensor, " o"]) -> Float[Tensor, " o"]:
        variable = index // len(self.kernel.points)
        return self.weight * self.between[variable, variable] * self.deviation[index].square()

    def add_product(
        self, out: Float[Tensor, "r values"], index: Int[Tensor, " o"], weights: Float[Tensor, "r o"]
    ) -> None:
        point_count, variables = len(self.kernel.points), len(self.between)
        total = torch.zeros_like(out).unflatten(1, (variables, point_count))
        for here in chunks(index):
            p, i = torch.unique(index[here] % point_count, return_inverse=True)
            spread = weights.new_zeros(len(weights), variables, len(p))
            spread[:, index[here] // point_count, i] = weights[:, here] * self.deviation[index[here]]
            mixed = torch.einsum("vw, rwp -> rvp", self.between, spread)
            total += mixed @ self.kernel.correlations_of(p)
        out.addcmul_(total.flatten(1), self.deviation, value=self.weight)


@dataclass(frozen=True, eq=False)
class DiagonalCovariance(CovarianceTerm):
    """A diagonal covariance: a variance of each value, independent of all others."""

    variance: Float[Tensor, " values"]
    weight: float = 1.0

    def unweighted(
        self, first: Int[Tensor, " rows"], second: Int[Tensor, " columns"]
    ) -> Float[Tensor, "rows columns"]:
        return (first[:, None] == second) * self.variance[second]

    def variance_of(self, index: Int[Tensor, " o"]) -> Float[Tensor, " o"]:
        return self.variance[index]

    def add_block(self, out: Float[Tensor, "o o"], index: Int[Tensor, " o"]) -> None:
        out.diagonal().add_(self.variance[index])

    def add_product(
        self, out: Float[Tensor, "r values"], index: Int[Tensor, " o"], weights: Float[Tensor, "r o"]
    ) -> None:
        out[:, index] += weights * self.variance[index]
