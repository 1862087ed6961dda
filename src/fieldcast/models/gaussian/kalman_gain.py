"""The Kalman gain of observations, without forming the whole covariance.

    K y = C_xo (C_oo + R)^-1 y

The covariance is a sum of terms (`covariance_terms`). V variables at P points are V * P values, flattened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.innovations import MAX_INNOVATION
from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.covariance_terms import CovarianceTerm


def cholesky(s: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Lower Cholesky factor of a lower triangle; if it is numerically singular, its diagonal is raised first."""
    scale, raised = s.diagonal().mean().clone(), 0.0
    for share in (0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3):
        s.diagonal().add_((share - raised) * scale)
        raised = share
        factor, info = torch.linalg.cholesky_ex(s)
        if not info:
            return factor
    raise torch.linalg.LinAlgError("The covariance of the observations is not positive definite.")


class CheckedGain(ABC):
    """K for one mask, with a check of its observations."""

    variance: Float[Tensor, " observed"]  # error variance of each observation, the diagonal of R

    @abstractmethod
    def __call__(
        self, innovation: Float[Tensor, "r observed"], excess: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, "r values"]:
        """K times innovations; `excess` is added to the error variances."""

    @abstractmethod
    def excess(self, innovation: Float[Tensor, "rows observed"]) -> Float[Tensor, "rows observed"]:
        """Increase of the error variance of each observation: positive for observations that fail the check."""

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


class Gain(CheckedGain):
    """K for one mask: maps innovations to increments of all values.

    Parameters
    ----------
    terms
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
        terms: Sequence[CovarianceTerm],
        index: Int[Tensor, " observed"],
        variance: Float[Tensor, " observed"],
        like: Tensor,
        values: int,
    ):
        self.terms, self.index, self.like, self.values = terms, index, like, values
        self.variance = variance
        s = torch.zeros(len(index), len(index), dtype=torch.float64, device=like.device)  # its lower triangle
        for term in terms:
            term.add_block(s, index)
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
        out = self.like.new_zeros(len(innovation), self.values)
        if len(self.index):
            weights = self.weights(innovation.double(), excess).to(out.dtype).contiguous()
            for term in self.terms:
                term.add_product(out, self.index, weights)
        return out

    def excess(self, innovation: Float[Tensor, "rows observed"]) -> Float[Tensor, "rows observed"]:
        d = innovation.double()
        beyond = robustness.excess(d, self.expected)
        if not beyond.any():
            return beyond
        expected = 1 / torch.cholesky_inverse(self.factor).diagonal()
        departure = expected * self.weights(d)  # observation minus its prediction by the other observations
        return torch.minimum(beyond, robustness.excess(departure, expected))

    def weights(
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


# The Kalman gain of observations between cells: increments C_xu w of all values x, with u the values that H touches.
#
#     w = H^T (H C_uu H^T + R)^-1 d                        (innovation form)
#       = (I + A C_uu)^-1 H^T R^-1 d,    A = H^T R^-1 H    (information form)
#
# d are the innovations y - H b. The first form is cheaper for fewer observations than touched values; the cost of the
# second does not grow with the number of observations. Their errors are independent: R is diagonal.


@dataclass(frozen=True, eq=False)
class Operator:
    """H of the observations of one datum, restricted to the values u that they touch.

    Parameters
    ----------
    index
        The touched values, as indices into (V, P) flattened.
    column
        For each observation, the positions of its values in `index`.
    weights
        Their weights, which may be 0.
    """

    index: Int[Tensor, " touched"]
    column: Int[Tensor, "observed 4"]
    weights: Float[Tensor, "observed 4"]

    @classmethod
    def of(cls, values: Int[Tensor, "observed 4"], weights: Float[Tensor, "observed 4"]) -> Operator:
        """H of observations of some values."""
        index, column = torch.unique(values, return_inverse=True)
        return cls(index, column, weights)

    def __getitem__(self, selected: Bool[Tensor, " observed"]) -> Operator:
        """H of some of the observations."""
        return Operator(self.index, self.column[selected], self.weights[selected])

    def __call__(self, x: Float[Tensor, "*lead values"]) -> Float[Tensor, "*lead observed"]:
        """H x."""
        return (x[..., self.index].double()[..., self.column] * self.weights).sum(-1)

    def located(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "observed 3"]:
        """Points of the observations on the unit sphere: the weighted means of their grid points."""
        mean = (points[self.index % len(points)][self.column] * self.weights[..., None]).sum(1)
        return mean / mean.norm(dim=1, keepdim=True)

    def transposed(self, y: Float[Tensor, "r observed"]) -> Float[Tensor, "r touched"]:
        """H^T y."""
        out = y.new_zeros(len(y), len(self.index))
        return out.index_add_(1, self.column.flatten(), (y[:, :, None] * self.weights).flatten(1))

    def sandwich(self, covariance: Float[Tensor, "touched touched"]) -> Float[Tensor, "observed observed"]:
        """H C H^T."""
        half = sum(self.weights[:, k, None] * covariance[self.column[:, k]] for k in range(4))
        return sum(half[:, self.column[:, k]] * self.weights[:, k] for k in range(4))

    def squared(self, precision: Float[Tensor, " observed"]) -> Float[Tensor, "touched touched"]:
        """H^T diag(precision) H."""
        touched = len(self.index)
        pairs = self.column[:, :, None] * touched + self.column[:, None, :]
        products = self.weights[:, :, None] * self.weights[:, None, :] * precision[:, None, None]
        out = precision.new_zeros(touched * touched)
        return out.index_add_(0, pairs.flatten(), products.flatten()).view(touched, touched)

    def variance(self, covariance: Float[Tensor, "touched touched"]) -> Float[Tensor, " observed"]:
        """The diagonal of H C H^T."""
        block = covariance[self.column[:, :, None], self.column[:, None, :]]
        return torch.einsum("ni, nij, nj -> n", self.weights, block, self.weights)


class InnovationForm:
    """S = H C H^T + R, factorised."""

    def __init__(self, h: Operator, covariance: Float[Tensor, "u u"], error: Float[Tensor, " observed"]):
        self.h = h
        s = h.sandwich(covariance)
        s.diagonal().add_(error)
        self.factor = cholesky(s)

    def solve(self, d: Float[Tensor, "r observed"]) -> Float[Tensor, "r observed"]:
        """S^-1 d."""
        return torch.cholesky_solve(d.T, self.factor).T

    def weights(self, d: Float[Tensor, "r observed"]) -> Float[Tensor, "r touched"]:
        """H^T S^-1 d."""
        return self.h.transposed(self.solve(d))

    def inverse_diagonal(self) -> Float[Tensor, " observed"]:
        """(S^-1)_ii."""
        return torch.cholesky_inverse(self.factor).diagonal()


class InformationForm:
    """I + A C, factorised."""

    def __init__(self, h: Operator, covariance: Float[Tensor, "u u"], error: Float[Tensor, " observed"]):
        self.h, self.covariance, self.precision = h, covariance, 1 / error
        matrix = h.squared(self.precision) @ covariance
        matrix.diagonal().add_(1.0)
        self.factors = torch.linalg.lu_factor(matrix)

    def solve(self, d: Float[Tensor, "r observed"]) -> Float[Tensor, "r observed"]:
        """S^-1 d = R^-1 (d - H C w)."""
        increment = self.weights(d) @ self.covariance
        return self.precision * (d - (increment[:, self.h.column] * self.h.weights).sum(-1))

    def weights(self, d: Float[Tensor, "r observed"]) -> Float[Tensor, "r touched"]:
        """H^T S^-1 d = (I + A C)^-1 H^T R^-1 d."""
        return torch.linalg.lu_solve(*self.factors, self.h.transposed(d * self.precision).T).T

    def inverse_diagonal(self) -> Float[Tensor, " observed"]:
        """(S^-1)_ii, from S^-1 = R^-1 - R^-1 H C (I + A C)^-1 H^T R^-1."""
        analysed = torch.linalg.lu_solve(*self.factors, self.covariance, left=False)  # C (I + A C)^-1
        return self.precision - self.precision.square() * self.h.variance(analysed)


class PointGain:
    """K for the observations of data that share H and R; observations that fail their check are rejected.

    An observation fails if its innovation d and its departure r from the prediction by the others both exceed five of
    their expected standard deviations, sqrt(S_ii) and sqrt(1 / (S^-1)_ii) with S = H C H^T + R: an extreme that its
    neighbours confirm passes.

    Parameters
    ----------
    terms
        Terms of the covariance C.
    h
        The observation operator.
    error
        Error variance of each observation, the diagonal of R.
    like
        Tensor with the size, precision and device of an increment.
    """

    def __init__(
        self,
        terms: Sequence[CovarianceTerm],
        h: Operator,
        error: Float[Tensor, " observed"],
        like: Float[Tensor, " values"],
    ):
        self.terms, self.h, self.error, self.like = terms, h, error.double(), like
        touched = len(h.index)
        lower = torch.zeros(touched, touched, dtype=torch.float64, device=like.device)
        for term in terms:
            term.add_block(lower, h.index)
        self.covariance = lower.tril() + lower.tril(-1).T  # C_uu

    @cached_property
    def whole(self) -> InnovationForm | InformationForm:
        """The solver with all observations."""
        return self._solver(torch.ones_like(self.error, dtype=torch.bool))

    def checked(
        self, innovation: Float[Tensor, "rows observed"]
    ) -> Iterator[tuple[Int[Tensor, " some"], Bool[Tensor, " observed"]]]:
        """Yield the rows in which no observation fails, together, then each other row.

        The mask of the observations that are accepted accompanies the rows.
        """
        fails = self.fails(innovation.double())
        any_fails = fails.any(1)
        if not any_fails.all():
            yield (~any_fails).nonzero()[:, 0], torch.ones_like(self.error, dtype=torch.bool)
        for row in any_fails.nonzero()[:, 0]:
            yield row[None], ~fails[row]

    def fails(self, d: Float[Tensor, "rows observed"]) -> Bool[Tensor, "rows observed"]:
        """Mask of the observations that fail their check."""
        limit = MAX_INNOVATION**2
        beyond = d.square() > limit * (self.h.variance(self.covariance) + self.error)
        if not beyond.any():
            return beyond
        return beyond & (self.whole.solve(d).square() > limit * self.whole.inverse_diagonal())

    def __call__(
        self, innovation: Float[Tensor, "r observed"], accepted: Bool[Tensor, " observed"]
    ) -> Float[Tensor, "r values"]:
        """K times the innovations of the accepted observations."""
        out = self.like.new_zeros(len(innovation), len(self.like))
        solver = self.whole if accepted.all() else self._solver(accepted)
        weights = solver.weights(innovation.double()[:, accepted]).to(out.dtype).contiguous()
        for term in self.terms:
            term.add_product(out, self.h.index, weights)
        return out

    def _solver(self, accepted: Bool[Tensor, " observed"]) -> InnovationForm | InformationForm:
        form = InnovationForm if accepted.sum() <= len(self.h.index) else InformationForm
        return form(self.h[accepted], self.covariance, self.error[accepted])
