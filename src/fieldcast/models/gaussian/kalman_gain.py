"""The Kalman gain of observations, without forming the whole covariance.

    K y = C_xo (C_oo + R)^-1 y

The covariance is a sum of terms (`covariance_terms`). V variables at P points are V * P values, flattened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.covariance_terms import CovarianceTerm


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
        """Lower Cholesky factor of C_oo + R.

        Raises
        ------
        ValueError
            If it has been computed before, and is no longer cached.
        """
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
