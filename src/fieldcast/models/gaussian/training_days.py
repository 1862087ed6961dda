"""Training days of a closed-form model: their anomalies, drawn by season, and the components of their covariance.

Cross-fitting leaves out one fold of the days at a time, so that a correction that is learned later sees errors of days
that the covariance does not know.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.derived import Derived, Value
from fieldcast.models.gaussian.conditioning import SPREAD_SEED
from fieldcast.models.gaussian.grid_points import GridPoints
from fieldcast.models.gaussian.seasonal_selection import FOLDS, cross_fitting_folds, pick, within_season
from fieldcast.models.gaussian.training_statistics import CovarianceComponents, training_statistics
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

SPREAD_POOL = 200  # training days whose root mean square is the spread: a sampling error of 5 %
DOUBLE_VALUES = 2500  # up to so many values double precision is used: a second moment takes 50 MB


class TrainingDays(Derived, Solved):
    """A model that keeps the anomalies of its training days (n, V, P) at the places that exist, and their days."""

    def __init__(self, space: Space):
        super().__init__(space)
        self.grid = GridPoints(space)
        self.register_buffer("anomalies", torch.empty(0, len(space.variables), len(self.grid)))
        self.register_buffer("days", torch.empty(0))

    def solve(self, training: Iterable[Batch]) -> None:
        """Store the training anomalies and their days, in the order of `Batch.index` where it is given.

        This must be the order of time, which defines years and fifths.
        """
        states, days, index, present = [], [], [], []
        for batch in training:
            if batch.observed is None:
                states.append(self.grid.gather(batch.x).float())
            else:
                values, observed = self.grid.gather_observed(batch.x, batch.observed)
                states.append(values.float())
                present.append(observed)
            unknown = batch.x.new_full((len(batch.x),), torch.nan)
            days.append(unknown if batch.context.day is None else batch.context.day)
            index.append(unknown if batch.index is None else batch.index)
        order = torch.argsort(torch.cat(index), stable=True)
        self.anomalies, self.days = torch.cat(states)[order], torch.cat(days).float()[order]
        if present:
            self.complete(torch.cat(present)[order])

    @abstractmethod
    def complete(self, observed: Bool[Tensor, "training variable p"]) -> None:
        """Replace the missing values of the training days; `observed` says which are not missing."""

    def folds(self) -> Int[Tensor, " training"]:
        """Fold of each training day, for `moments`."""
        return self.derive(("folds",), lambda: cross_fitting_folds(self.days))

    def season(
        self, c: Context, draws: RandomStreams, fold: int | None = None
    ) -> Float[Tensor, "batch members variable y x"]:
        """Training days outside `fold`, drawn within 45 days of the season of each datum."""
        allowed = self.kept(fold).expand(c.count, -1)
        if c.day is not None:
            allowed = within_season(self.days, c.day, allowed)
        errors = self.anomalies[pick(allowed, draws.uniform(1)[..., 0])]
        return self.grid.scatter(self._with_rare_events(errors, draws.fork(1), fold))

    def spread_pool(self, fold: int | None) -> Float[Tensor, "pool variable y x"]:
        """Training days outside `fold`, evenly spaced over the record: their root mean square is a prior's spread."""
        return self.derive(("pool", fold), lambda: self._new_spread_pool(fold))

    def _new_spread_pool(self, fold: int | None) -> Float[Tensor, "pool variable y x"]:
        kept = self.kept(fold).nonzero()[:, 0]
        selected = torch.linspace(0, len(kept) - 1, min(SPREAD_POOL, len(kept))).round().long()
        errors = self.anomalies[kept[selected.to(kept.device)]][:, None]
        numbers = torch.arange(len(errors), device=errors.device)
        return self.grid.scatter(
            self._with_rare_events(errors, RandomStreams(SPREAD_SEED, numbers).fork(1), fold)[:, 0]
        )

    def _with_rare_events(
        self, errors: Float[Tensor, "batch members variable p"], draws: RandomStreams, fold: int | None
    ) -> Float[Tensor, "batch members variable p"]:
        """Training days plus draws of the independent variance U^2."""
        rare = self.covariance_components(fold).rare
        if not rare.any():
            return errors
        return errors + draws.normal(*errors.shape[2:]) * rare.sqrt().to(errors).view(errors.shape[2:])

    def derive(self, key: tuple, derive: Callable[[], Value]) -> Value:
        """Return `derive()`, cached under `key` until the training days change."""
        return self.derived(key, derive, self.anomalies)

    def covariance_components(self, fold: int | None) -> CovarianceComponents:
        """Components of the covariance from the days outside `fold`."""
        return self.derive(("training", fold), lambda: self._statistics(fold))

    def _statistics(self, fold: int | None) -> CovarianceComponents:
        double = self.anomalies[0].numel() <= DOUBLE_VALUES
        anomalies = self.derive(("double",), self.anomalies.double) if double else self.anomalies
        return training_statistics(anomalies, self.kept(fold), self.grid.area, FOLDS)

    def kept(self, fold: int | None) -> Tensor:
        """Boolean mask (n,) of the days outside the fold."""
        return torch.ones_like(self.days, dtype=torch.bool) if fold is None else self.folds() != fold

    def flat(self, x: Tensor) -> Tensor:
        """Values at places (..., V * P), in the precision of the covariance."""
        z = self.grid.gather(x).flatten(-2)
        return z.double() if z.shape[-1] <= DOUBLE_VALUES else z
