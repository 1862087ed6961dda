"""Training days of a closed-form model: their anomalies, drawn by season, and the components of their covariance.

Models keep the anomalies of at most `retained.MAX_STATES` days.

Cross-fitting leaves out one fold of the days at a time, so that a correction that is learned later sees the errors of
days that did not enter the covariance.
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
from fieldcast.models.gaussian.retained import Retained, rounded
from fieldcast.models.gaussian.seasonal_selection import FOLDS, cross_fitting_folds, pick, within_season
from fieldcast.models.gaussian.training_statistics import CovarianceComponents, training_statistics
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.reserved_numbers import RARE_EVENTS_STREAM
from fieldcast.models.selection import evenly
from fieldcast.models.space import Space

SPREAD_POOL = 200  # training days whose root mean square is the spread: a sampling error of 5 %
MAX_DOUBLE_VALUES = 2500  # largest number of values in double precision: a second moment takes 50 MB


class TrainingDays(Derived, Solved):
    """A model that keeps anomalies of training days (kept, V, P) at the points that exist.

    `days` are the days of the year of all training days, and `number` (kept,) are the indices of those that are kept.
    """

    half_precision = ("anomalies",)
    anomalies: Tensor
    days: Tensor
    number: Tensor

    def __init__(self, space: Space):
        super().__init__(space)
        self.grid = GridPoints(space)
        self.register_buffer("anomalies", torch.empty(0, len(space.variables), len(self.grid)))
        self.register_buffer("number", torch.empty(0, dtype=torch.long))
        self.register_buffer("days", torch.empty(0))

    def solve(self, training: Iterable[Batch]) -> None:
        """Keep training anomalies, and the days of the year of all states, in the order of `Batch.index` if given.

        This must be the order of time, which defines the folds: years or fifths of the record.
        """
        kept, days, count = Retained(), [], 0
        for batch in training:
            x, observed = self.grid.gather(batch.x), None
            if batch.observed is not None:
                x, observed = self.grid.gather_observed(batch.x, batch.observed)
            number = batch.index
            if number is None:
                number = torch.arange(count, count + len(x), device=x.device)
            day = x.new_full((len(x),), torch.nan) if batch.context.day is None else batch.context.day
            kept.add(number, x.float(), *(() if observed is None else (observed,)))
            days.append((number, day.float()))
            count += len(x)
        number, anomalies, *present = kept.result()
        all_numbers, day = (torch.cat(tensors) for tensors in zip(*days, strict=True))
        order = torch.argsort(all_numbers, stable=True)
        self.keep(anomalies, day[order], torch.searchsorted(all_numbers[order], number))
        for observed in present:
            self.complete(observed)
        self.anomalies = rounded(self.anomalies)

    def keep(
        self,
        anomalies: Float[Tensor, "kept variable p"],
        days: Float[Tensor, " training"],
        number: Int[Tensor, " kept"] | None = None,
    ) -> None:
        """Set the anomalies, and the indices of their training days; by default all."""
        self.anomalies, self.days = anomalies, days
        self.number = torch.arange(len(days), device=days.device) if number is None else number

    @abstractmethod
    def complete(self, observed: Bool[Tensor, "kept variable p"]) -> None:
        """Replace the missing values of the anomalies; `observed` is the mask of the others."""

    def folds(self) -> Int[Tensor, " training"]:
        """Fold of each training day, for `moments`."""
        return self.derive(("folds",), lambda: cross_fitting_folds(self.days))

    def season(
        self, c: Context, draws: RandomStreams, fold: int | None = None
    ) -> Float[Tensor, "batch members variable y x"]:
        """Training days outside `fold`, drawn within 45 days of the day of the year of each datum."""
        allowed = self.outside(fold).expand(c.count, -1)
        if c.day is not None:
            allowed = within_season(self.days[self.number], c.day, allowed)
        errors = self.anomalies[pick(allowed, draws.uniform(1)[..., 0])]
        return self.grid.scatter(self._with_rare_events(errors, draws.fork(RARE_EVENTS_STREAM), fold))

    def spread_pool(self, fold: int | None) -> Float[Tensor, "pool variable y x"]:
        """Training days outside `fold`, evenly spaced over the record: their root mean square is a prior's spread."""
        return self.derive(("pool", fold), lambda: self._new_spread_pool(fold))

    def _new_spread_pool(self, fold: int | None) -> Float[Tensor, "pool variable y x"]:
        outside = self.outside(fold).nonzero()[:, 0]
        selected = evenly(len(outside), SPREAD_POOL)
        errors = self.anomalies[outside[selected.to(outside.device)]][:, None]
        numbers = torch.arange(len(errors), device=errors.device)
        draws = RandomStreams(SPREAD_SEED, numbers).fork(RARE_EVENTS_STREAM)
        return self.grid.scatter(self._with_rare_events(errors, draws, fold)[:, 0])

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
        double = self.anomalies[0].numel() <= MAX_DOUBLE_VALUES
        anomalies = self.derive(("double",), self.anomalies.double) if double else self.anomalies
        return training_statistics(anomalies, self.outside(fold), self.grid.area, FOLDS)

    def outside(self, fold: int | None) -> Bool[Tensor, " kept"]:
        """True for kept days outside the fold."""
        if fold is None:
            return torch.ones_like(self.number, dtype=torch.bool)
        return self.folds()[self.number] != fold

    def flat(self, x: Tensor) -> Tensor:
        """Values at points (..., V * P), in the precision of the covariance."""
        z = self.grid.gather(x).flatten(-2)
        return z.double() if z.shape[-1] <= MAX_DOUBLE_VALUES else z
