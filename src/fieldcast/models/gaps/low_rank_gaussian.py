"""A Gaussian of low rank, and its posterior given any of its cells.

    x_t = m + W^T z_t + e,    z_t ~ N(0, I_q),    e ~ N(0, s^2 I),    of which the cells o_t are observed

(probabilistic PCA: Tipping and Bishop 1999). With W_o the observed columns of W (q, C) and r = x_o - m_o,

    M_t = W_o W_o^T + s^2 I,    E z_t = M_t^-1 W_o r,    cov z_t = s^2 M_t^-1,
    -2 log p(x_o) = n log 2 pi + (n - q) log s^2 + log |M_t| + (|r|^2 - (W_o r)^T E z_t) / s^2.

W_o W_o^T for all times is the product of the mask with a table of pairs; n is the number of observed cells. Times
differ in their masks. Sums are in double precision: of smooth fields, s^2 can be as small as the rounding of W_o W_o^T
in single precision, where M_t would not be positive definite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.models.gaps.in_time import counts, pieces
from fieldcast.models.random_streams import RandomStreams


class Moments(NamedTuple):
    """Sums over the observed cells of each time, in double precision."""

    outer: Float[Tensor, "time q q"]  # W_o W_o^T
    projected: Float[Tensor, "time q"]  # W_o r
    square: Float[Tensor, " time"]  # |r|^2
    count: Float[Tensor, " time"]  # n


@dataclass(frozen=True, eq=False)
class LowRank:
    """A Gaussian of rank q plus noise: N(m, W^T W + s^2 I)."""

    mean: Float[Tensor, " cell"]
    weights: Float[Tensor, "q cell"]
    variance: Float[Tensor, ""]  # s^2

    @classmethod
    def stored(cls, parameters: Mapping[str, Tensor] | None) -> LowRank | None:
        """The Gaussian with the given parameters; None without them."""
        names = [field.name for field in fields(cls)]
        given = parameters or {}
        return cls(*(given[name] for name in names)) if given.keys() >= {*names} else None

    def parameters(self) -> dict[str, Tensor]:
        """The parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def rank(self) -> int:
        """The number of modes, q."""
        return len(self.weights)

    def axes(self, area: Float[Tensor, " cell"]) -> Float[Tensor, "axis cell"]:
        """F^T with F F^T = W^T W + m m^T, the second moment about 0: rows orthogonal under `area`, largest first."""
        vectors = torch.cat([self.weights, self.mean[None]]).double()
        _, order = torch.linalg.eigh((vectors * area.double()) @ vectors.T)
        return (order.flip(1).T @ vectors).to(self.weights)

    def moments(self, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"]) -> Moments:
        """Sums over the observed cells."""
        w, mean, q = self.weights.double(), self.mean.double(), self.rank
        table = w.new_zeros(len(x), q * (q + 1) // 2)
        projected, square = table.new_zeros(len(x), q), table.new_zeros(len(x))
        for cells in pieces(x.shape[1], max(table.shape[1], len(x))):
            o, here = observed[:, cells], w[:, cells]
            r = torch.where(o, x[:, cells] - mean[cells], 0.0)
            table += o.double() @ pairs(here.T)
            projected += r @ here.T
            square += r.square().sum(1)
        return Moments(symmetric(table, q), projected, square, counts(observed)[0].double())

    def posterior(
        self, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"]
    ) -> tuple[Float[Tensor, "time q"], Float[Tensor, "time q q"], Float[Tensor, " time"]]:
        """E z, the Cholesky factor of M, and log p(x_o) of each time, in double precision."""
        (m, b, square, n), variance = self.moments(x, observed), self.variance.double()
        m.diagonal(dim1=1, dim2=2).add_(variance)
        factor = m
        for times in pieces(len(m), self.rank**2):  # in place: with many times, it is larger than the record
            factor[times] = torch.linalg.cholesky(m[times])
        z = torch.cholesky_solve(b[..., None], factor)[..., 0]
        log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1) + (n - self.rank) * variance.log()
        log_prob = -(n * math.log(2 * math.pi) + log_det + (square - (b * z).sum(1)) / variance) / 2
        return z, factor, log_prob

    def decoded(
        self, z: Float[Tensor, "time q"], like: Float[Tensor, "time cell"]
    ) -> Float[Tensor, "time cell"]:
        """m + W^T z, computed in double precision, in the precision of `like`."""
        values, w, mean = torch.empty_like(like), self.weights.double(), self.mean.double()
        for cells in pieces(w.shape[1], len(z)):
            values[:, cells] = (mean[cells] + z.double() @ w[:, cells]).to(like)
        return values

    def expected(
        self, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"]
    ) -> Float[Tensor, "time cell"]:
        """Mean of every value given the observed ones, which keep theirs."""
        values = self.decoded(self.posterior(x, observed)[0], x)
        return torch.where(observed, x, values, out=values)

    def spread(
        self, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"]
    ) -> Float[Tensor, "time cell"]:
        """Standard deviation of every value given the observed ones, which have 0."""
        spread, w = torch.empty_like(x), self.weights.double()
        for t, lower in enumerate(self.posterior(x, observed)[1]):
            rooted = torch.linalg.solve_triangular(lower, w, upper=False)
            spread[t] = (self.variance.double() * (1 + rooted.square().sum(0))).sqrt().to(x)
        return spread.masked_fill_(observed, 0.0)

    def draw(
        self, x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], streams: RandomStreams
    ) -> Float[Tensor, "time members cell"]:
        """Draw every value given the observed ones; the data of `streams` are the times."""
        z, factor, _ = self.posterior(x, observed)
        noise = self.variance.double().sqrt()
        eps = torch.linalg.solve_triangular(
            factor.mT, noise * streams.normal(self.rank).double().mT, upper=True
        )
        members = x.new_empty(len(x), streams.members, x.shape[1])
        for k in pieces(streams.members, x.numel()):
            values = (z[:, None] + eps.mT[:, k]).to(x) @ self.weights.to(x) + self.mean.to(x)
            values += noise.to(x) * streams.of_members(k).normal(x.shape[1]).to(x)
            members[:, k] = torch.where(observed[:, None], x[:, None], values)
        return members


def pairs(z: Float[Tensor, "row q"]) -> Float[Tensor, "row pair"]:
    """Products z_i z_j of each row, i <= j."""
    i, j = torch.triu_indices(z.shape[1], z.shape[1], device=z.device)
    return z[:, i] * z[:, j]


def symmetric(table: Float[Tensor, "row pair"], size: int) -> Float[Tensor, "row q q"]:
    """Symmetric matrices from their upper triangles, in the order of `pairs`."""
    i, j = torch.triu_indices(size, size, device=table.device)
    out = table.new_empty(len(table), size, size)
    out[:, i, j], out[:, j, i] = table, table
    return out
