"""Gaussian models of blocks of variables: analysis and check of observations from any covariance.

    m = K y,    K = C H^T (H C H^T + R)^-1,    R = noise^2 + nugget D^2 + floor^2,

C the covariance of a block, D^2 its diagonal, y the observations in cells or between them, H the operator from a state
to them, R the variances of their errors; `robustness` defines their check.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.core import Context, Derived, Solved
from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.conditioning import (
    Conditioning,
    ObservedData,
    all_observed,
    at_points,
    in_cells,
)
from fieldcast.models.gaussian.covariance_terms import CovarianceTerm
from fieldcast.models.gaussian.grid_points import GridPoints, ObservedPoints, observations
from fieldcast.models.gaussian.kalman_gain import CheckedGain, Gain


class Covariance(NamedTuple):
    """C of a block, with the current tuned values; values are (variable, point), flattened."""

    terms: Sequence[CovarianceTerm]
    local: Float[Tensor, " values"]  # D^2
    like: Float[Tensor, " values"]  # a tensor with the size, precision and device of increments


class BlockGaussian(Derived, Solved):
    """Base of models whose variables are independent between blocks, and jointly normal within one.

    Subclasses have the tuned values `nugget`, the observation error as a share of the local variance, and `floor`, the
    standard deviation of the error of representativeness, which does not depend on the local variance.
    """

    grid: GridPoints
    nugget: Tensor
    floor: Tensor

    @abstractmethod
    def blocks(self) -> Sequence[range]:
        """Adjacent variables that have a joint covariance."""

    @abstractmethod
    def covariance(self, block: range, fold: int | None = None) -> Covariance:
        """C of a block, from the training days outside `fold`, for models that have folds."""

    def gain(self, block: range, group: ObservedPoints, noise: float, fold: int | None = None) -> CheckedGain:
        """K for the mask of a group, patch by patch for more than `MAX_GLOBAL_OBSERVATIONS` observed values."""
        covariance = self.covariance(block, fold)
        error = self._error(covariance, noise**2 / group.count, covariance.local[group.index])
        common = covariance.terms, group.index, error, covariance.like, len(covariance.like)
        if len(group.index) > MAX_GLOBAL_OBSERVATIONS:
            return LocalGain(*common, self.grid.points)
        return Gain(*common)

    def conditionings(
        self, c: Context, block: range, background: Float[Tensor, "batch values"], fold: int | None = None
    ) -> Iterator[Conditioning]:
        """The updates of a block by the observations of a context; together they cover all data of the batch."""
        if c.points is None:
            for group in self._groups(c, block):
                yield from in_cells(group, self.gain(block, group, c.noise, fold), background, self.grid)
        else:
            yield from (update for _, update in self._at_points(c, block, background, fold))

    def suspects(self, c: Context) -> Bool[Tensor, "batch variable y x"]:
        """Observations in cells that fail the check of `robustness`: down-weighted, or left out beside points."""
        _, mask = c.observations()
        shape = c.count, len(self.space.variables), len(self.grid)
        failed = torch.zeros(shape, dtype=torch.bool, device=mask.device)
        for block in self.blocks():
            of_block = failed[:, block.start : block.stop].view(c.count, -1)
            if c.points is None:
                for group in self._groups(c, block):
                    excess = self.gain(block, group, c.noise).excess(group.y)
                    of_block[group.datum[:, None], group.index] = excess > 0
            else:
                for observed, update in self._at_points(c, block, self._zero(c, block)):
                    of_block[update.datum[:, None], observed.in_cells] = ~update.accepted[: observed.cells]
        return (self.grid.scatter(failed.float()) > 0) & mask

    def analysis(self, c: Context) -> tuple[Float[Tensor, "batch variable y x"], Bool[Tensor, " points"]]:
        """m of a context with points, and the mask of the points that `PointGain` rejects."""
        assert c.points is not None
        means, rejected = [], torch.zeros_like(c.points.datum, dtype=torch.bool)
        for block in self.blocks():
            m = self._zero(c, block)
            in_block = (c.points.variable >= block.start) & (c.points.variable < block.stop)
            for observed, update in self._at_points(c, block, self._zero(c, block)):
                m[update.datum] = update.gain(update.innovation)
                for datum in update.datum:
                    rejected[in_block & (c.points.datum == datum)] = ~update.accepted[observed.cells :]
            means.append(m.float().unflatten(1, (len(block), -1)))
        return self.grid.scatter(torch.cat(means, dim=1)), rejected

    def _groups(self, c: Context, block: range) -> list[ObservedPoints]:
        """The observations of a block in cells, by data with the same mask."""
        observed, mask = c.observations()
        variables = slice(block.start, block.stop)
        return observations(self.grid, observed[:, variables], mask[:, variables])

    def _at_points(
        self, c: Context, block: range, background: Float[Tensor, "batch values"], fold: int | None = None
    ) -> Iterator[tuple[ObservedData, Conditioning]]:
        covariance = self.covariance(block, fold)
        for observed in all_observed(c, self.grid, block):
            error = self._error(covariance, observed.error, observed.h(covariance.local))
            updates = at_points(observed, covariance.terms, error, background)
            yield from ((observed, update) for update in updates)

    def _zero(self, c: Context, block: range) -> Float[Tensor, "batch values"]:
        """The climatology as background."""
        like = self.covariance(block).like
        return like.new_zeros(c.count, len(like))

    def _error(
        self,
        covariance: Covariance,
        instrument: Float[Tensor, " observed"],
        local: Float[Tensor, " observed"],
    ) -> Float[Tensor, " observed"]:
        """R, for an instrument's error variances and the local variances of the field."""
        nugget, floor = float(self.nugget), float(self.floor)
        return robustness.observation_error(instrument, local, nugget, floor, covariance.like.dtype)


# The gain of more observations than one matrix can hold, patch by patch.
#
#     K_p y = C_po (C_oo + R)^-1 y
#
# gives the increments of patch p of the grid, with o the `NEARBY_OBSERVATIONS` observations nearest to the smallest
# box with sides along the axes that holds the patch: the boxes of Lorenc (1981), "A global three-dimensional
# multivariate statistical interpolation scheme", Mon. Wea. Rev. 109, 701-721. The time grows linearly with the number
# of observations, and not with its cube as for a single matrix; only the matrices of one patch are in memory. Mean,
# members and spread share the rows of K, so that draws are consistent with their spread.


MAX_GLOBAL_OBSERVATIONS = 12000  # largest number of observed values in a single matrix: 1.2 GB
# number of observed values in and around a patch that its increments are computed from
NEARBY_OBSERVATIONS = 1000
MAX_INSIDE_OBSERVATIONS = 150  # largest number of observed values in a patch


class Patch(NamedTuple):
    """Adjacent grid points, and the observations that their increments are computed from."""

    points: Int[Tensor, " points"]  # indices of the points
    inside: Int[Tensor, " inside"]  # observations at these points
    nearby: Int[Tensor, " nearby"]  # the nearest observations, including those inside, in increasing order


class LocalGain(CheckedGain):
    """K for one mask with many observations.

    Parameters
    ----------
    terms, index, variance, like, values
        See `Gain`.
    points
        The points of the grid on the unit sphere; V variables at P points are V * P values, flattened.
    """

    def __init__(
        self, terms: Sequence[CovarianceTerm], index: Int[Tensor, " observed"],
        variance: Float[Tensor, " observed"], like: Tensor, values: int, points: Float[Tensor, "p 3"],
    ):  # fmt: skip
        self.terms, self.index, self.variance = terms, index, variance
        self.like, self.values, self.point_count = like, values, len(points)
        self.patches = list(patches(points, index % len(points)))

    def __call__(
        self, innovation: Float[Tensor, "r observed"], excess: Float[Tensor, " observed"] | None = None
    ) -> Float[Tensor, "r values"]:
        out = self.like.new_zeros(len(innovation), self.values)
        first = torch.arange(0, self.values, self.point_count, device=self.index.device)[:, None]
        for patch in self.patches:
            o, p = self.index[patch.nearby], (first + patch.points).flatten()
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
    """Divide the points by bisection into patches of few points and at most `MAX_INSIDE_OBSERVATIONS` observations.

    `observed` is the point of each observation.
    """
    points, observed, device = points.double().cpu(), observed.cpu(), points.device
    count = torch.bincount(observed, minlength=len(points))
    largest = max(1, 4 * MAX_INSIDE_OBSERVATIONS * len(points) // len(observed))
    point_sets = list(bisect(points, torch.arange(len(points)), count, largest))
    sizes = torch.tensor([len(indices) for indices in point_sets])
    number = torch.repeat_interleave(torch.arange(len(point_sets)), sizes)
    # patch of an observation
    patch = torch.empty_like(number).scatter_(0, torch.cat(point_sets), number)[observed]
    inside = patch.argsort(stable=True).split(torch.bincount(patch, minlength=len(point_sets)).tolist())
    observed_points = points[observed]
    for indices, within in zip(point_sets, inside, strict=True):
        corners = points[indices].amin(0), points[indices].amax(0)
        distance = (observed_points - observed_points.clamp(*corners)).norm(dim=1)
        distance[within] = -1.0
        nearest = min(max(NEARBY_OBSERVATIONS, len(within)), len(distance))
        nearby = distance.topk(nearest, largest=False).indices.sort().values
        yield Patch(indices.to(device), within.to(device), nearby.to(device))


def bisect(
    points: Float[Tensor, "p 3"], selected: Int[Tensor, " some"], observed: Int[Tensor, " p"], largest: int
) -> Iterator[Int[Tensor, " part"]]:
    """Halve some points across their widest extent until each part is small and has few observations."""
    if len(selected) == 1 or (
        len(selected) <= largest and int(observed[selected].sum()) <= MAX_INSIDE_OBSERVATIONS
    ):
        yield selected
        return
    extent = points[selected].amax(0) - points[selected].amin(0)
    order = selected[points[selected, int(extent.argmax())].argsort(stable=True)]
    for half in order.tensor_split(2):
        yield from bisect(points, half, observed, largest)
