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
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.models.core import Context, Solved
from fieldcast.models.derived import Derived
from fieldcast.models.gaussian import local_gain, robustness
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
from fieldcast.models.gaussian.local_gain import LocalGain


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
        if len(group.index) > local_gain.MAX_GLOBAL_OBSERVATIONS:
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
