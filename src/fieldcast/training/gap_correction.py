"""Optimal interpolation of a record, corrected by a network that learns from the gaps of the record that it fills.

Values of each training time are hidden in the shape of another time's gaps, and the network that corrects the draws of
optimal interpolation (`models.corrected`) is trained by the fair CRPS of the hidden values alone, as DINCAE is by their
likelihood (Barth et al. 2020). Each time is conditioned on its own observations, with the covariance of the times
outside its fold: its own completed state must not predict it.

Mean and spread are exact: draws of the base deviate from its mean m by s, so x = m + (d - m) exp(g) + s M has the mean
m + s M and the spread s exp(g).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.encoding.selection import batch_index
from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Context
from fieldcast.models.corrected import Corrected
from fieldcast.models.gaps import augmentation
from fieldcast.models.gaps.cells import cells, state
from fieldcast.models.gaps.hiding import SELECTIONS, nearest_in_gap
from fieldcast.models.gaps.record import Filling, Record, empty_members, with_observed
from fieldcast.models.layers.crps import normal_crps
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams, generator_for, seed_for
from fieldcast.models.selection import evenly
from fieldcast.models.space import Space
from fieldcast.training.options import Fit
from fieldcast.training.run import initialised
from fieldcast.training.training_state import Training
from fieldcast.training.tuning import search

LOG = logging.getLogger(__name__)
MODEL = {"type": "corrected.Corrected", "base": {"type": "optimal_interpolation.OptimalInterpolation"}}
TUNED = 24  # times on which the base is tuned
CONTEXTS = 512  # times, each with other hidden values, on whose moments the network is trained
FIT = Fit(steps=1500, members=4, learning_rate=5e-4)
AT_ONCE = 16  # times filled together
# fits of a method that is chosen: to each selection of values left, and to all of them
PASSES = SELECTIONS + 1
SMALLEST = 1e-6  # spread that a score divides by


@dataclass(frozen=True, eq=False)
class GapCorrection:
    """A method of `models.gaps.record` that trains a network for its record.

    Parameters
    ----------
    space
        Grid of the record, whose columns are its existing cells.
    days
        Fraction of the year of each time.
    fit
        Options of the training of the network.
    seed
        Seed of the hidden values, of the first weights, and of the draws of the training.
    """

    space: Space
    days: Float[Tensor, " time"]
    fit: Fit = FIT
    seed: int = 0

    @torch.no_grad()
    def __call__(self, record: Record, draws: RandomStreams | None) -> Filling:
        """Fit the correction to the record, and fill it."""
        model = self.fitted(record)
        mean, spread = torch.empty_like(record.x), torch.empty_like(record.x)
        members = empty_members(mean, draws)
        for times in torch.arange(len(record.x), device=record.x.device).split(AT_ONCE):
            batch = self.batch(record, times)
            streams = (
                RandomStreams(seed_for("gap correction"), times) if draws is None else draws.of_data(times)
            )
            m, s, d = moments(model, batch.context, times, streams)
            # the correction is affine in the draws: that of m is the mean, that of m + s a spread above it
            both = model.correct(batch.context, m, s, torch.stack([m, m + s], dim=1))
            mean[times], spread[times] = (
                cells(self.space, part) for part in (both[:, 0], both[:, 1] - both[:, 0])
            )
            if draws is not None:
                members[times] = cells(self.space, model.correct(batch.context, m, s, d))
        return with_observed(record, mean, spread, members)

    def batch(
        self, record: Record, times: Int[Tensor, " batch"], hidden: Bool[Tensor, "batch cell"] | None = None
    ) -> Batch:
        """Some times with their observations as context, except for the hidden ones, which alone are scored."""
        x, observed = record.x[times], record.observed[times]
        left = observed if hidden is None else observed & ~hidden
        mask = state(self.space, left.float()) > 0
        y = state(self.space, torch.where(left, x, 0.0))
        context = Context(len(times), observed=y, mask=mask, day=self.days[times.cpu()].to(x))
        scored = observed if hidden is None else hidden
        truth = state(self.space, torch.where(observed, x, 0.0))
        return Batch(truth, context, index=times, observed=state(self.space, scored.float()) > 0)

    def hiding(self, record: Record, times: Int[Tensor, " batch"], stage: str) -> Batch:
        """Some times, each with values hidden in the shape of another time's gap.

        Raises
        ------
        InputError
            If no gap of any time covers values of another.
        """
        generator = generator_for(f"hidden from {stage}", self.seed)
        others = torch.randint(len(record.x), (len(times),), generator=generator).tolist()
        missing = ~record.observed
        gappy = missing.any(1).nonzero()[:, 0]
        points, hidden = torch.from_numpy(record.places.points).to(record.x), []
        for t, drawn in zip(times.tolist(), others, strict=True):
            other = drawn
            if not (record.observed[t] & missing[other]).any():
                covering = gappy[(record.observed[t] & missing[gappy]).any(1)]
                if len(covering):
                    other = int(covering[drawn % len(covering)])
            hidden.append(nearest_in_gap(record.observed[t], record.observed[other], points, generator))
        if not any(cells.any() for cells in hidden):
            raise InputError(
                "learned: the record's gaps leave nothing that could be hidden in their shape, so that no "
                "correction can be trained: set learned=false and minutes=0."
            )
        return self.batch(record, times, torch.stack(hidden))

    def fitted(self, record: Record) -> Corrected:
        """The correction of this record: base solved and tuned, network trained."""
        model = self.untrained(record)
        base = model.base
        assert isinstance(base, OptimalInterpolation)
        every = torch.arange(len(record.x), device=record.x.device)
        base.solve([self.batch(record, every)])
        tuning = self.hiding(record, every[observed_evenly(record, TUNED)], "tuning")
        for _ in search(base, lambda: log_crps(model, tuning), []):
            pass
        selected = every[observed_evenly(record, CONTEXTS)]
        self.train(model, self.hiding(record, selected, "training"))
        return model

    def untrained(self, record: Record) -> Corrected:
        """The model with its first weights, on the device of the record."""
        space = self.space.to(record.x.device)
        model = initialised(MODEL, space, self.seed % 2**31).to(record.x.device)
        assert isinstance(model, Corrected)
        return model

    def train(self, model: Corrected, batch: Batch) -> None:
        """Train the network by the fair CRPS of hidden values, on draws of the base that are made once."""
        assert batch.index is not None
        streams = RandomStreams(seed_for("gap correction", self.seed), batch.index, self.fit.members)
        drawn = moments(model, batch.context, batch.index, streams)
        run = Training(model, self.fit, self.seed)
        with torch.enable_grad():
            while run.step < self.fit.steps:
                places = batch_index(run.step, self.seed, None, len(batch.x), self.fit.batch)
                run.update(model.terms(batch[places], *(values[places] for values in drawn)))
        model.load_state_dict(run.average, strict=False)

    def minutes(self, record: Record) -> float:
        """Estimated minutes of all fits, from one update of optimal interpolation and one step of the network."""
        model = self.untrained(record)
        base = model.base
        assert isinstance(base, OptimalInterpolation)
        every = torch.arange(len(record.x), device=record.x.device)
        batch = self.batch(record, every)
        base.keep(base.grid.gather(batch.x), self.days.to(batch.x))
        usual = record.observed.sum(1).argsort()[[len(record.x) // 2]]
        batch_of_one, streams = self.batch(record, usual), RandomStreams(0, usual, self.fit.members)
        with torch.no_grad():
            drawn = moments(model, batch_of_one.context, usual, streams)  # forms the covariance
            update = seconds(lambda: moments(model, batch_of_one.context, usual, streams))
        first = torch.zeros(self.fit.batch, dtype=torch.long, device=usual.device)
        run = Training(model, self.fit, self.seed)
        step = seconds(
            lambda: run.update(model.terms(batch_of_one[first], *(values[first] for values in drawn)))
        )
        completed = augmentation.ROUNDS * len(augmentation.affordable(record.observed))
        completed += augmentation.TRIED * len(augmentation.WEIGHTS)
        trials = 1 + sum(len(values) for values in base.choices.values())
        updates = completed + TUNED * trials + min(CONTEXTS, len(every)) + len(every)
        return PASSES * (updates * update + self.fit.steps * step) / 60


def moments(
    model: Corrected, c: Context, times: Int[Tensor, " batch"], draws: RandomStreams
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, spread and draws of the base at some times of its own record, each from the times outside its fold."""
    base = model.base
    assert isinstance(base, OptimalInterpolation)
    fold = base.folds()[times]
    order, parts = [], []
    for number in fold.unique().tolist():
        for some in (fold == number).nonzero()[:, 0].split(AT_ONCE):
            order.append(some)
            parts.append(base.moments(c[some], draws.of_data(some), number))
    back = torch.cat(order).argsort()
    m, s, d = (torch.cat(values)[back] for values in zip(*parts, strict=True))
    return m, s, d


def log_crps(model: Corrected, batch: Batch) -> float:
    """Logarithm of the CRPS of the base at hidden values, taken as Gaussian."""
    assert batch.index is not None and batch.observed is not None
    streams = RandomStreams(seed_for("tuning"), batch.index)
    m, s, _ = moments(model, batch.context, batch.index, streams)
    weight = model.space.existing_area * batch.observed
    crps = normal_crps(m - batch.x, s.clamp(min=SMALLEST))
    return math.log(float((crps * weight).sum() / weight.sum()))


def observed_evenly(record: Record, count: int) -> Int[Tensor, " some"]:
    """Times with observations, at most `count`, evenly spaced among these."""
    times = record.observed.any(1).nonzero()[:, 0]
    return times[evenly(len(times), count).to(times.device)]


def seconds(work: Callable[[], object]) -> float:
    """Time that one call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
