"""Fill the missing values of a whole record: p(x | c) whose context c is everything that was observed at all times.

Models of single states are given the observations of their own time; the functions here see the neighbouring times as
well. They are fitted to the record that they fill. A record is a matrix of standardised anomalies (`cells.cells` makes
rows of states), and each function of `FILLERS` maps it to a mean, a spread and members of the same layout:

    red_noise       each cell by itself, between its observed neighbours in time
    dineof          DINEOF: no distribution of its own; its spread is the error at values hidden for cross-validation
    low_rank        low-rank Gaussian, each time by itself
    modal_smoother  the same modes with linear dynamics, conditioned on all times by a Kalman smoother

A fit to few observations is too sure of itself: `trial` scales the spread to the error at values that were observed and
hidden, in the shape of other times' gaps.

In the same way a model of the task `reconstruct` fills a record: `solve` it with the record, and `sample` with the
record's own observations as contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.gaps import dineof as modes
from fieldcast.models.gaps import in_time, smoother
from fieldcast.models.gaps.cells import deviations
from fieldcast.models.gaps.expectation_maximisation import fitted_rank
from fieldcast.models.random_streams import RandomStreams

FEWEST_TIMES = 2
LEFT = 5  # one in so many values of a time is hidden at most
LARGEST = 40  # modes that DINEOF tries
RANKS = (5, 10, 20, 40)


@dataclass(frozen=True, eq=False)
class Record:
    """Anomalies in order of time.

    Parameters
    ----------
    x
        Standardised anomalies; anything where missing.
    observed
        Which values are observed.
    segment
        Number of the unbroken stretch of times that each time belongs to.

    Raises
    ------
    InputError
        If nothing is observed, or values at fewer than two times.
    """

    x: Float[Tensor, "time cell"]
    observed: Bool[Tensor, "time cell"]
    segment: Int[Tensor, " time"]

    def __post_init__(self) -> None:
        times = int(self.observed.any(1).sum())
        if times < FEWEST_TIMES:
            raise InputError(
                f"the record has observed values at {times} of {len(self.x)} times, and filling it needs at least "
                f"{FEWEST_TIMES}: give a longer record."
            )

    def scaled(self) -> tuple[Record, Float[Tensor, " cell"]]:
        """The record in units of the standard deviation of each value, 0 where missing; also the deviations."""
        deviation = deviations(self.x, self.observed)
        return replace(self, x=(self.x / deviation).masked_fill_(~self.observed, 0.0)), deviation


@dataclass(frozen=True, eq=False)
class Filling:
    """A filled record: observed values are untouched and have spread 0.

    A cell never observed has the mean 0, the climatology, and a time without observations that of its neighbours in
    time, if the method knows them: callers flag both by `Record.observed`.
    """

    mean: Float[Tensor, "time cell"]
    spread: Float[Tensor, "time cell"]
    members: Float[Tensor, "time members cell"]


def red_noise(record: Record, draws: RandomStreams | None) -> Filling:
    """Fill each cell as red noise, see `in_time`; the members add independent errors to the mean."""
    r, deviation = record.scaled()
    mean, spread = in_time.red_noise(r.x, r.observed, r.segment)
    return independent(record, mean.mul_(deviation), spread.mul_(deviation), draws)


def dineof(record: Record, draws: RandomStreams | None) -> Filling:
    """Fill by DINEOF; the members add independent errors of the size found by cross-validation to the mean."""
    r, deviation = record.scaled()
    hidden = modes.choose_hidden(r.observed, torch.Generator().manual_seed(0))
    filled = modes.dineof(r.x, r.observed, hidden, LARGEST)
    error = filled.errors.min().to(r.x)
    return independent(record, filled.values.mul_(deviation), (error * deviation).repeat(len(r.x), 1), draws)


def low_rank(record: Record, draws: RandomStreams | None) -> Filling:
    """Fill each time by the posterior of the low-rank Gaussian."""
    r, deviation = record.scaled()
    model = fitted_rank(r.x, r.observed, RANKS)
    mean, spread = model.expected(r.x, r.observed), model.spread(r.x, r.observed)
    members = room(mean, None) if draws is None else model.draw(r.x, r.observed, draws)
    return filling(record, mean.mul_(deviation), spread.mul_(deviation), members.mul_(deviation))


def modal_smoother(record: Record, draws: RandomStreams | None) -> Filling:
    """Fill by the Kalman smoother of the modes, fitted by EM that starts from the low-rank Gaussian."""
    r, deviation = record.scaled()
    start = fitted_rank(r.x, r.observed, RANKS)
    system, _ = smoother.fit(r.x, r.observed, r.segment, start)
    mean, spread = system.expected(r.x, r.observed, r.segment)
    members = room(mean, None) if draws is None else system.draw(r.x, r.observed, r.segment, draws)
    return filling(record, mean.mul_(deviation), spread.mul_(deviation), members.mul_(deviation))


def independent(
    record: Record, mean: Float[Tensor, "time cell"], spread: Float[Tensor, "time cell"],
    draws: RandomStreams | None,
) -> Filling:  # fmt: skip
    """A filling whose members add independent errors to the mean."""
    members = room(mean, draws)
    if draws is not None:
        for k in range(draws.members):  # the random numbers of one member are in memory
            noise = replace(draws, members=1, first=k).normal(mean.shape[1])[:, 0].to(mean)
            members[:, k] = mean + noise.mul_(spread)
    return filling(record, mean, spread, members)


def room(mean: Float[Tensor, "time cell"], draws: RandomStreams | None) -> Float[Tensor, "time members cell"]:
    """An empty tensor for the members, none without random numbers."""
    return mean.new_empty(len(mean), draws.members if draws else 0, mean.shape[1])


def filling(
    record: Record,
    mean: Float[Tensor, "time cell"],
    spread: Float[Tensor, "time cell"],
    members: Float[Tensor, "time members cell"],
) -> Filling:
    """Keep the observed values bit for bit; in place, because each part is as large as the record."""
    x, o = record.x, record.observed
    return Filling(
        torch.where(o, x, mean, out=mean),
        spread.masked_fill_(o, 0.0),
        torch.where(o[:, None], x[:, None], members, out=members),
    )


Filler = Callable[[Record, RandomStreams | None], Filling]  # without random numbers there are no members
FILLERS: Mapping[str, Filler] = MappingProxyType(
    {filler.__name__: filler for filler in (red_noise, dineof, low_rank, modal_smoother)}
)


def hidden_in_gap(
    observed: Bool[Tensor, " cell"], other: Bool[Tensor, " cell"], generator: torch.Generator
) -> Bool[Tensor, " cell"]:
    """Observed values of one time in the gap of another: neighbours in the order of the cells, at most a fifth.

    So the time stays nearly as well observed as it was.
    """
    hidden, gap = torch.zeros_like(observed), (observed & ~other).nonzero()[:, 0]
    count = min(len(gap), int(observed.sum()) // LEFT)
    first = int(torch.randint(len(gap) - count + 1, (1,), generator=generator))
    hidden[gap[first : first + count]] = True
    return hidden
