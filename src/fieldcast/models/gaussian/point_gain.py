"""The Kalman gain of observations between cells, at a cost that does not grow with their number.

    K d = C_xu w,    w = (I + A C_uu)^-1 H^T R^-1 d,    A = H^T R^-1 H,

the information form of C H^T (H C H^T + R)^-1 d, with u the values that any observation touches: many observations of
a cell cost as much as one. Their errors are independent: R is diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.gaussian.covariance_terms import Part
from fieldcast.models.gaussian.robustness import LARGEST_DEPARTURE


@dataclass(frozen=True, eq=False)
class Operator:
    """H of the observations of one datum, restricted to the values u that they touch.

    Parameters
    ----------
    index
        The touched values, into (V, P) flattened.
    column
        For each observation, the places of its values in `index`.
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

    def __call__(self, x: Float[Tensor, "*lead values"]) -> Float[Tensor, "*lead observed"]:
        """H x."""
        return (x[..., self.index].double()[..., self.column] * self.weights).sum(-1)

    def transposed(self, y: Float[Tensor, "r observed"]) -> Float[Tensor, "r touched"]:
        """H^T y."""
        out = y.new_zeros(len(y), len(self.index))
        return out.index_add_(1, self.column.flatten(), (y[:, :, None] * self.weights).flatten(1))

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


class PointGain:
    """K for the observations of one datum, of which those that fail their check count for nothing.

    An observation fails if its innovation d and its departure r from the prediction by the others both exceed five of
    their expected standard deviations, sqrt(S_ii) and sqrt(1 / (S^-1)_ii) with S = H C H^T + R: an extreme that its
    neighbours confirm passes.

    Parameters
    ----------
    parts
        Terms of the covariance C.
    h
        The observation operator.
    error
        Error variance of each observation, the diagonal of R.
    innovation
        d = y - H b, to which the check applies.
    like
        Tensor with the size, precision and device of an increment.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        h: Operator,
        error: Float[Tensor, " observed"],
        innovation: Float[Tensor, " observed"],
        like: Float[Tensor, " values"],
    ):
        self.parts, self.h, self.like = parts, h, like
        touched = len(h.index)
        lower = torch.zeros(touched, touched, dtype=torch.float64, device=like.device)
        for part in parts:
            part.add_block(lower, h.index)
        self.covariance = lower.tril() + lower.tril(-1).T  # C_uu
        self.precision = 1 / error.double()
        self._factorise()
        self.rejected = self._fails(innovation.double())
        if self.rejected.any():
            self.precision = self.precision.masked_fill(self.rejected, 0.0)
            self._factorise()

    def __call__(self, innovation: Float[Tensor, "r observed"]) -> Float[Tensor, "r values"]:
        """K times innovations."""
        out = self.like.new_zeros(len(innovation), len(self.like))
        weights = self._weights(innovation.double()).to(out.dtype).contiguous()
        for part in self.parts:
            part.add_product(out, self.h.index, weights)
        return out

    def _factorise(self) -> None:
        matrix = self.h.squared(self.precision) @ self.covariance
        matrix.diagonal().add_(1.0)
        self._factors = torch.linalg.lu_factor(matrix)

    def _weights(self, innovation: Float[Tensor, "r observed"]) -> Float[Tensor, "r touched"]:
        return torch.linalg.lu_solve(*self._factors, self.h.transposed(innovation * self.precision).T).T

    def _fails(self, d: Float[Tensor, " observed"]) -> Bool[Tensor, " observed"]:
        beyond = d.square() > LARGEST_DEPARTURE**2 * (self.h.variance(self.covariance) + 1 / self.precision)
        if not beyond.any():
            return beyond
        analysed = torch.linalg.lu_solve(*self._factors, self.covariance, left=False)  # C_uu (I + A C_uu)^-1
        inverse = self.precision - self.precision.square() * self.h.variance(analysed)  # (S^-1)_ii
        increment = self._weights(d[None]) @ self.covariance  # of the touched values
        solved = self.precision * (d - (increment[0][self.h.column] * self.h.weights).sum(-1))  # S^-1 d
        return beyond & (solved.square() > LARGEST_DEPARTURE**2 * inverse)
