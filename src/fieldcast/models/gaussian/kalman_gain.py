"""The Kalman gain of observations, without forming the whole covariance.

    K y = C_xo (C_oo + R)^-1 y

A covariance is a sum of parts; each adds its block for the observed values, and its product with a few columns
of weights. V variables at P places are V * P values, flattened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.correlations import Kernel

CHUNK = 1024  # observations whose rows of C are in memory at once
BLOCK = 2048  # columns of a second moment computed at once


def chunks(index: Int[Tensor, " observed"]) -> Iterator[slice]:
    return (slice(i, min(i + CHUNK, len(index))) for i in range(0, len(index), CHUNK))


class Part(ABC):
    """One term of a covariance between values."""

    @abstractmethod
    def add_block(self, out: Float[Tensor, "o o"], index: Int[Tensor, " o"]) -> None:
        """Add the lower triangle of the block of the observed values."""

    @abstractmethod
    def add_product(
        self, out: Float[Tensor, "r values"], index: Int[Tensor, " o"], weights: Float[Tensor, "r o"]
    ) -> None:
        """Add weights @ C[index]."""


@dataclass(frozen=True, eq=False)
class Moments:
    """S = sum_t share_t a_t a_t^T, the second moment of anomalies about the climatology."""

    anomalies: Float[Tensor, "n values"]
    share: Float[Tensor, " n"]  # 1 / (number of days included); 0 for excluded days
    dense: Float[Tensor, "values values"] | None = None  # S, where memory allows

    def rows(self, index: Int[Tensor, " rows"]) -> Float[Tensor, "rows values"]:
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

    def densified(self) -> Moments:
        """Return the moments with S formed, by blocks of one triangle."""
        kept = self.anomalies[self.share > 0] * self.share[self.share > 0].sqrt()[:, None]
        s = kept.new_empty(kept.shape[1], kept.shape[1])
        for start in range(0, len(s), BLOCK):
            here = slice(start, start + BLOCK)
            s[here, start:] = kept[:, here].T @ kept[:, start:]
            s[start + BLOCK :, here] = s[here, start + BLOCK :].T
        return Moments(self.anomalies, self.share, s)


@dataclass(frozen=True, eq=False)
class Tapered(Part):
    """weight * T o S: all pairs of variables share the taper."""

    weight: float
    moments: Moments
    taper: Kernel | None
    places: int

    def add_block(self, out: Float[Tensor, "o o"], index: Int[Tensor, " o"]) -> None:
        for here in chunks(index):
            first, second = index[here], index[: here.stop]
            part = self.moments.block(first, second)
            if self.taper is not None:
                part *= self.taper.block(first % self.places, second % self.places)
            out[here, : here.stop].add_(part, alpha=self.weight)

    def add_product(
        self, out: Float[Tensor, "r values"], index: Int[Tensor, " o"], weights: Float[Tensor, "r o"]
    ) -> None:
        for here in chunks(index):
            part = self.moments.rows(index[here])
            if self.taper is not None:
                p, i = torch.unique(index[here] % self.places, return_inverse=True)
                part.unflatten(1, (-1, self.places)).mul_(self.taper.rows(p)[i][:, None])
            out.addmm_(weights[:, here], part, alpha=self.weight)


@dataclass(frozen=True, eq=False)
class Parametric(Part):
    """weight * D (Q x rho) D: correlations Q between variables times rho in space, a Kronecker product."""

    weight: float
    deviation: Float[Tensor, " values"]  # D
    between: Float[Tensor, "variable variable"]  # Q
    kernel: Kernel  # rho

    def add_block(self, out: Float[Tensor, "o o"], index: Int[Tensor, " o"]) -> None:
        places = len(self.kernel.points)
        for here in chunks(index):
            first, second = index[here], index[: here.stop]
            part = self.kernel.block(first % places, second % places)
            part *= self.between[(first // places)[:, None], second // places]
            part *= self.deviation[first][:, None] * self.deviation[second]
            out[here, : here.stop].add_(part, alpha=self.weight)

    def add_product(
        self, out: Float[Tensor, "r values"], index: Int[Tensor, " o"], weights: Float[Tensor, "r o"]
    ) -> None:
        places, variables = len(self.kernel.points), len(self.between)
        total = torch.zeros_like(out).unflatten(1, (variables, places))
        for here in chunks(index):
            p, i = torch.unique(index[here] % places, return_inverse=True)
            spread = weights.new_zeros(len(weights), variables, len(p))
            spread[:, index[here] // places, i] = weights[:, here] * self.deviation[index[here]]
            mixed = torch.einsum("vw, rwp -> rvp", self.between, spread)
            total += mixed @ self.kernel.rows(p)
        out.addcmul_(total.flatten(1), self.deviation, value=self.weight)


@dataclass(frozen=True, eq=False)
class Independent(Part):
    """A diagonal covariance: a variance of each value, independent of all others."""

    variance: Float[Tensor, " values"]

    def add_block(self, out: Float[Tensor, "o o"], index: Int[Tensor, " o"]) -> None:
        out.diagonal().add_(self.variance[index])

    def add_product(
        self, out: Float[Tensor, "r values"], index: Int[Tensor, " o"], weights: Float[Tensor, "r o"]
    ) -> None:
        out[:, index] += weights * self.variance[index]


def cholesky(s: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Lower Cholesky factor of a lower triangle; if it is numerically singular, its diagonal is raised first.

    Raises
    ------
    torch.linalg.LinAlgError
        For a matrix that is not positive definite even then.
    """
    scale, raised = s.diagonal().mean().clone(), 0.0
    for share in (0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3):
        s.diagonal().add_((share - raised) * scale)
        raised = share
        factor, info = torch.linalg.cholesky_ex(s)
        if not info:
            return factor
    raise torch.linalg.LinAlgError("The covariance of the observations is not positive definite.")


class Gain:
    """K for one mask: maps innovations to increments of all values.

    Parameters
    ----------
    parts
        Terms of the covariance C.
    index
        Indices of the observed values.
    variance
        Error variance of each observation, the diagonal of R.
    like
        Tensor with the precision and device of the increments.
    values
        Number of values.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        index: Int[Tensor, " observed"],
        variance: Float[Tensor, " observed"],
        like: Tensor,
        values: int,
    ):
        self.parts, self.index, self.like, self.values = parts, index, like, values
        self.variance = variance  # of the error of each observation
        s = torch.zeros(len(index), len(index), dtype=torch.float64, device=like.device)  # its lower triangle
        for part in parts:
            part.add_block(s, index)
        s.diagonal().add_(variance)
        self.expected = s.diagonal().clone()  # variance of each innovation
        self._s: Tensor | None = s

    @cached_property
    def factor(self) -> Float[Tensor, "observed observed"]:
        """Lower Cholesky factor of C_oo + R."""
        if self._s is None:
            raise ValueError("C_oo + R has been factorised")
        s, self._s = self._s, None  # free the matrix: its factor replaces it
        return cholesky(s)

    def __call__(
        self, innovation: Float[Tensor, "r observed"], excess: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, "r values"]:
        """K times innovations; `excess` is added to the error variances."""
        out = self.like.new_zeros(len(innovation), self.values)
        if len(self.index):
            weights = self._weights(innovation.double(), excess).to(out.dtype).contiguous()
            for part in self.parts:
                part.add_product(out, self.index, weights)
        return out

    def checked(
        self, innovation: Float[Tensor, "rows observed"]
    ) -> Iterator[tuple[Int[Tensor, " some"], Float[Tensor, " observed"]]]:
        """Yield the rows whose observations all pass the check of `robustness` together, then each other row alone.

        The excess of their error variances accompanies the rows.
        """
        excess = self.excess(innovation)
        fails = (excess > 0).any(1)
        if not fails.all():
            yield (~fails).nonzero()[:, 0], torch.zeros_like(self.variance)
        for row in fails.nonzero()[:, 0]:
            yield row[None], excess[row]

    def excess(self, innovation: Float[Tensor, "rows observed"]) -> Float[Tensor, "rows observed"]:
        """Increase of the error variance of each observation: above 0 for observations that fail the check."""
        d = innovation.double()
        beyond = robustness.excess(d, self.expected)
        if not beyond.any():
            return beyond
        expected = 1 / torch.cholesky_inverse(self.factor).diagonal()
        departure = expected * self._weights(d)  # from the prediction by the other observations
        return torch.minimum(beyond, robustness.excess(departure, expected))

    def _weights(
        self, innovation: Float[Tensor, "r observed"], excess: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, "r observed"]:
        """(C_oo + R + G)^-1 y, with G the excess of the error variances.

            (S + G)^-1 y = w - A (I + G_f A_f)^-1 G_f w_f,    w = S^-1 y,    A = S^-1 at the columns f where G is not 0

        (Woodbury's identity), so that all rows share the factor of S = C_oo + R.
        """
        w = torch.cholesky_solve(innovation.T, self.factor).T
        if excess is None or not excess.any():
            return w
        failed = excess.nonzero()[:, 0]
        unit = torch.eye(len(self.index), dtype=w.dtype, device=w.device)[:, failed]
        a = torch.cholesky_solve(unit, self.factor)  # (O, F)
        g = excess[failed, None]
        identity = torch.eye(len(failed), dtype=w.dtype, device=w.device)
        return w - (a @ torch.linalg.solve(identity + g * a[failed], g * w[:, failed].T)).T
