"""The gain of more observations than one matrix can hold, patch by patch.

    K_p y = C_po (C_oo + R)^-1 y

gives the increments of patch p of the grid, with o the `NEAREST` observations to the smallest box with sides along the
axes that holds the patch: the boxes of Lorenc (1981), "A global three-dimensional multivariate statistical
interpolation scheme", Mon. Wea. Rev. 109, 701-721. The time grows with the number of observations, where that of one
matrix grows with its cube; the matrices in memory are those of one patch. Mean, members and spread share the rows of
K, so that draws are consistent with their spread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.covariance_terms import CovarianceTerm
from fieldcast.models.gaussian.kalman_gain import CheckedGain, Gain

ALL_AT_ONCE = 12000  # observed values up to which one matrix holds them all: 1.2 GB
NEAREST = 1000  # observed values in and around a patch
INSIDE = 150  # largest number of observed values in a patch


class Patch(NamedTuple):
    """Adjacent places, and the observations that their increments are computed from."""

    places: Int[Tensor, " places"]
    inside: Int[Tensor, " inside"]  # observations at these places
    nearby: Int[Tensor, " nearby"]  # the nearest observations, with these, in increasing order


class LocalGain(CheckedGain):
    """K for one mask with many observations.

    Parameters
    ----------
    terms, index, variance, like, values
        See `Gain`.
    points
        The places of the grid on the unit sphere; V variables at P places are V * P values, flattened.
    """

    def __init__(
        self, terms: Sequence[CovarianceTerm], index: Int[Tensor, " observed"],
        variance: Float[Tensor, " observed"], like: Tensor, values: int, points: Float[Tensor, "p 3"],
    ):  # fmt: skip
        self.terms, self.index, self.variance = terms, index, variance
        self.like, self.values, self.places = like, values, len(points)
        self.patches = list(patches(points, index % len(points)))

    def __call__(
        self, innovation: Float[Tensor, "r observed"], excess: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, "r values"]:
        out = self.like.new_zeros(len(innovation), self.values)
        first = torch.arange(0, self.values, self.places, device=self.index.device)[:, None]
        for patch in self.patches:
            o, p = self.index[patch.nearby], (first + patch.places).flatten()
            growth = None if excess is None else excess[patch.nearby]
            weights = self._gain(patch).weights(innovation[:, patch.nearby].double(), growth).to(out)
            out[:, p] = sum(term.weight * (weights @ term.unweighted(o, p).to(out)) for term in self.terms)
        return out

    def excess(self, innovation: Float[Tensor, "rows observed"]) -> Float[Tensor, "rows observed"]:
        excess = torch.zeros_like(innovation, dtype=torch.float64)
        expected = self.variance + sum(term.variance_of(self.index) for term in self.terms)
        beyond = (robustness.excess(innovation.double(), expected.double()) > 0).any(0)
        for patch in self.patches:
            if beyond[patch.inside].any():
                column = torch.searchsorted(patch.nearby, patch.inside)
                excess[:, patch.inside] = self._gain(patch).excess(innovation[:, patch.nearby])[:, column]
        return excess

    def _gain(self, patch: Patch) -> Gain:
        """K for the observations of a patch."""
        o = patch.nearby
        return Gain(self.terms, self.index[o], self.variance[o], self.like, self.values)


def patches(points: Float[Tensor, "p 3"], observed: Int[Tensor, " observed"]) -> Iterator[Patch]:
    """Divide the places by bisection until no patch has more than `INSIDE` observations, or too many places.

    `observed` is the place of each observation.
    """
    points, observed, device = points.double().cpu(), observed.cpu(), points.device
    count = torch.bincount(observed, minlength=len(points))
    largest = max(1, 4 * INSIDE * len(points) // len(observed))
    parts = list(bisected(points, torch.arange(len(points)), count, largest))
    number = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor([len(part) for part in parts]))
    patch = torch.empty_like(number).scatter_(0, torch.cat(parts), number)[observed]  # of each observation
    inside = patch.argsort(stable=True).split(torch.bincount(patch, minlength=len(parts)).tolist())
    where = points[observed]
    for places, within in zip(parts, inside, strict=True):
        here = points[places]
        away = (where - where.clamp(here.amin(0), here.amax(0))).norm(dim=1)
        away[within] = -1.0
        nearby = away.topk(min(max(NEAREST, len(within)), len(away)), largest=False).indices.sort().values
        yield Patch(places.to(device), within.to(device), nearby.to(device))


def bisected(
    points: Float[Tensor, "p 3"], places: Int[Tensor, " some"], observed: Int[Tensor, " p"], largest: int
) -> Iterator[Int[Tensor, " part"]]:
    """Halve some places across their widest extent until each part is small, and has few observations."""
    if len(places) == 1 or (len(places) <= largest and int(observed[places].sum()) <= INSIDE):
        yield places
        return
    extent = points[places].amax(0) - points[places].amin(0)
    order = places[points[places, int(extent.argmax())].argsort(stable=True)]
    for half in order.tensor_split(2):
        yield from bisected(points, half, observed, largest)
