"""Reassembly of training windows: each state once, in order of time."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.geometry import GOLDEN
from fieldcast.models.core import Batch, Context, Derived, Solved, Value
from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.conditioning import SPREAD_SEED
from fieldcast.models.gaussian.covariance_terms import SecondMoment
from fieldcast.models.gaussian.grid_points import GridPoints
from fieldcast.models.gaussian.seasonal_selection import FOLDS, cross_fitting_folds, pick, within_season
from fieldcast.models.random_streams import RARE_EVENTS_STREAM, RandomStreams
from fieldcast.models.space import Space, evenly


class Series(NamedTuple):
    """States in order of time; within a stretch, successive states are one step apart."""

    states: Float[Tensor, "time variable y x"]
    # NaN for states that are never a target: before the first window of a stretch
    days: Float[Tensor, " time"]
    stretch: Int[Tensor, " time"]

    def followed(self, steps: int = 1) -> Bool[Tensor, " time"]:
        """True where the state `steps` later belongs to the same stretch."""
        return followed(self.stretch, steps)


def followed(stretch: Int[Tensor, " time"], steps: int = 1) -> Bool[Tensor, " time"]:
    """True where the time `steps` later belongs to the same stretch."""
    later = torch.full_like(stretch, -1)
    later[: max(len(later) - steps, 0)] = stretch[steps:]
    return stretch == later


def series(training: Iterable[Batch], exists: Bool[Tensor, "y x"]) -> Series:
    """Reassemble the states from windows in order of time; cells that do not exist are 0."""
    parts = series_parts(training)
    states, days, stretch, number = (torch.cat(part) for part in zip(*parts, strict=True))
    order = torch.argsort(number)
    return Series(torch.where(exists, states[order], 0.0), days[order].float(), stretch[order])


def kept_series(training: Iterable[Batch], exists: Bool[Tensor, "y x"], stretch: int = 1) -> Series:
    """The states of a series that a model keeps (see `retained`), in half precision; a gap ends a stretch."""
    kept = Retained(stretch)
    for part in series_parts(training):
        kept.add(part.number, part.states, part.days, part.stretch)
    number, states, days, stretches = kept.result()
    ends = (number.diff() != 1) | (stretches.diff() != 0)
    return Series(
        rounded(torch.where(exists, states, 0.0)),
        days.float(),
        torch.cat([ends.new_zeros(1), ends]).cumsum(0),
    )


class SeriesPart(NamedTuple):
    """Some states of a series, with their numbers in order of time."""

    states: Float[Tensor, "time variable y x"]
    days: Float[Tensor, " time"]
    stretch: Int[Tensor, " time"]
    number: Int[Tensor, " time"]


def series_parts(training: Iterable[Batch]) -> Iterator[SeriesPart]:
    """Yield each state of the windows once.

    A window whose `index` does not follow the previous one begins a stretch, and contributes its past.
    """
    previous, stretches = torch.tensor([-2]), torch.tensor(0)
    for batch in training:
        if batch.index is None:
            raise ValueError("windows without an index have no order")
        index, past, day = batch.index, batch.context.past, batch.context.day
        begins = index.diff(prepend=previous.to(index)) != 1
        stretch = begins.cumsum(0) + stretches.to(index)
        previous, stretches = index[-1:], stretch[-1]
        if day is None:
            day = torch.full_like(batch.x[:, 0, 0, 0], torch.nan)
        yield SeriesPart(batch.x, day, stretch, index)
        if past is not None and begins.any():
            length = past.shape[1]
            numbers = index[begins][:, None] + torch.arange(-length, 0, device=index.device)
            unknown = past.new_full((numbers.numel(),), torch.nan)
            before = past[begins].flatten(0, 1)
            yield SeriesPart(before, unknown, stretch[begins].repeat_interleave(length), numbers.flatten())


# Components of the covariance of optimal interpolation, from training anomalies.


MAX_DENSE_BYTES = 1.7e9  # largest size of the second moments of all folds that are stored
MIN_DEVIATION = 1e-12  # smallest standard deviation: constant values have no correlation


class CovarianceComponents(NamedTuple):
    """Components of the covariance; values are (variable, point), flattened."""

    moments: SecondMoment  # S
    deviation: Float[Tensor, " values"]  # D
    between: Float[Tensor, "variable variable"]  # Q
    rare: Float[Tensor, " values"]  # U^2


def training_statistics(
    anomalies: Float[Tensor, "training variable p"],
    included: Bool[Tensor, " training"],
    area: Float[Tensor, " p"],
    folds: int,
) -> CovarianceComponents:
    """Statistics of the included days; S is formed if the memory suffices for that of all `folds`."""
    values = anomalies[0].numel()
    moments = SecondMoment(anomalies.flatten(1), included.to(anomalies.dtype) / included.sum())
    if folds * values**2 * 4 <= MAX_DENSE_BYTES:
        moments = moments.densified()
    a = anomalies[included]
    deviation = a.square().mean(0).sqrt()  # (V, P)
    share = (area / area.sum() / len(a)).sqrt().to(a)
    standard = (a / deviation.clamp(min=MIN_DEVIATION) * share).transpose(0, 1).flatten(1)
    between = standard @ standard.T
    scale = between.diagonal().sqrt().clamp(min=MIN_DEVIATION)
    rare = robustness.MomentSums().add(a).rare.flatten()
    return CovarianceComponents(moments, deviation.flatten(), between / scale[:, None] / scale, rare)


# The training states that a model keeps, in memory and in its checkpoint: a bounded number of them.
#
# State t of the record is kept if frac(t phi), phi = (sqrt(5) - 1) / 2, is among the `MAX_STATES` smallest. The
# multiples of phi modulo 1 that lie below a bound are nearly evenly spaced, with gaps of at most three lengths (Sós
# 1958), and favour no hour of the day and no season. A record of up to `MAX_STATES` states is kept as a whole.


MAX_STATES = 4096  # largest number of training states that a model keeps

LOG = logging.getLogger(__name__)


class Retained:
    """Collects states with their numbers in the record, and holds at most twice `MAX_STATES` of them in memory.

    With `stretch`, that many successive states are kept together, so that most of them have a successor.
    """

    def __init__(self, stretch: int = 1):
        self.stretch, self.count = stretch, 0
        self.pieces: list[tuple[Tensor, ...]] = []

    def add(self, number: Int[Tensor, " some"], *values: Tensor) -> None:
        """Add states: their numbers, and tensors with a row for each of them."""
        self.pieces.append((number, *values))
        self.count += len(number)
        if sum(len(piece[0]) for piece in self.pieces) > 2 * MAX_STATES:
            self.pieces = [self._joined()]

    def result(self) -> tuple[Tensor, ...]:
        """The numbers of the states that are kept, in increasing order, and the rows of the tensors for them."""
        kept = self._joined()
        if len(kept[0]) < self.count:
            LOG.info("The model keeps %d of %d training states.", len(kept[0]), self.count)
        return kept

    def _joined(self) -> tuple[Tensor, ...]:
        number, *values = (torch.cat(values) for values in zip(*self.pieces, strict=True))
        index = kept_indices(number, self.stretch)
        return number[index], *(value[index] for value in values)


def kept_indices(number: Int[Tensor, " n"], stretch: int = 1) -> Int[Tensor, " kept"]:
    """Indices of the numbers that are kept, in increasing order of the numbers."""
    order = number.argsort(stable=True)
    priority = (number[order] // stretch).double() * GOLDEN % 1
    return order[priority.argsort(stable=True)[:MAX_STATES].sort().values]


def rounded(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Values as checkpoints store them, in half precision: with a relative error of up to 2^-11."""
    return x.half().float()


# Training days of a closed-form model: their anomalies, drawn by season, and the components of their covariance.
#
# Models keep the anomalies of at most `retained.MAX_STATES` days.
#
# Cross-fitting leaves out one fold of the days at a time, so that a correction that is learned later sees the errors
# of days that did not enter the covariance.


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
        self, c: Context, streams: RandomStreams, fold: int | None = None
    ) -> Float[Tensor, "batch members variable y x"]:
        """Training days outside `fold`, drawn within 45 days of the day of the year of each datum."""
        allowed = self.outside(fold).expand(c.count, -1)
        if c.day is not None:
            allowed = within_season(self.days[self.number], c.day, allowed)
        errors = self.anomalies[pick(allowed, streams.uniform(1)[..., 0])]
        return self.grid.scatter(self._with_rare_events(errors, streams.fork(RARE_EVENTS_STREAM), fold))

    def spread_pool(self, fold: int | None) -> Float[Tensor, "pool variable y x"]:
        """Training days outside `fold`, evenly spaced over the record: their root mean square is a prior's spread."""
        return self.derive(("pool", fold), lambda: self._new_spread_pool(fold))

    def _new_spread_pool(self, fold: int | None) -> Float[Tensor, "pool variable y x"]:
        outside = self.outside(fold).nonzero()[:, 0]
        selected = evenly(len(outside), SPREAD_POOL)
        errors = self.anomalies[outside[selected.to(outside.device)]][:, None]
        numbers = torch.arange(len(errors), device=errors.device)
        streams = RandomStreams(SPREAD_SEED, numbers).fork(RARE_EVENTS_STREAM)
        return self.grid.scatter(self._with_rare_events(errors, streams, fold)[:, 0])

    def _with_rare_events(
        self, errors: Float[Tensor, "batch members variable p"], streams: RandomStreams, fold: int | None
    ) -> Float[Tensor, "batch members variable p"]:
        """Training days plus draws of the independent variance U^2."""
        rare = self.covariance_components(fold).rare
        if not rare.any():
            return errors
        return errors + streams.normal(*errors.shape[2:]) * rare.sqrt().to(errors).view(errors.shape[2:])

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
