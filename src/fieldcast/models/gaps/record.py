"""Records with gaps and their fillers: p(x | c), with everything that was observed at all times as the context c.

Models of single states are given the observations of their own time; the methods for records (`fillers`) see the
neighbouring times as well, and are fitted to the record that they fill. A record is a matrix of standardised anomalies
(`cells.cells` makes rows of states).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.core import Batch
from fieldcast.models.gaps.in_time import counts, pieces
from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaussian.robustness import PRIOR_OBSERVATIONS
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

MIN_TIMES = 2  # smallest number of times with observed values


class Bounds(NamedTuple):
    """Bounds at and beyond which values are censored; infinite where there is none."""

    low: Float[Tensor, "*n"]
    high: Float[Tensor, "*n"]

    def minus(self, shift: Float[Tensor, "*#n"]) -> Bounds:
        """The bounds of values from which a shift is subtracted."""
        return Bounds(self.low - shift, self.high - shift)

    def at(self, selected: tuple[Any, ...] | Shaped[Tensor, "..."]) -> Bounds:
        """The bounds of some values."""
        return Bounds(*(part[selected] for part in self))


class Statistics(NamedTuple):
    """Statistics of the record that the methods are fitted to, which another record may continue."""

    deviation: Float[Tensor, " cell"]  # standard deviation of each cell
    count: Int[Tensor, " cell"]  # number of observed values of each cell
    times: int
    first: int = 0  # number of times of the fitted record and of its continuations before the first one here


@dataclass(frozen=True, eq=False)
class Record:
    """Anomalies in order of time.

    Parameters
    ----------
    x
        Standardised anomalies; arbitrary where missing.
    observed
        Mask of the observed values.
    segment
        Number of the unbroken stretch of times that each time belongs to.
    columns
        Positions, variables and areas of the columns.
    requested
        Values to fill, by default all that are missing. A filler may leave others as they are.
    bounds
        Bounds of the values, if some are at one: these are censored (`censored`).
    noise
        Variance of the errors of the observed values, if they have any (`observation_error`).
    fitted
        Statistics of the record that the methods were fitted to, if it is another one.
    masked
        Mask of the values that are neither observed nor missing, such as those of the sea under ice, if there are any:
        nothing is filled there, and no gap of a cell extends across them.
    """

    x: Float[Tensor, "time cell"]
    observed: Bool[Tensor, "time cell"]
    segment: Int[Tensor, " time"]
    columns: Columns
    requested: Bool[Tensor, "time cell"] | None = None
    bounds: Bounds | None = None
    noise: Float[Tensor, "time cell"] | None = None
    fitted: Statistics | None = None
    masked: Bool[Tensor, "time cell"] | None = None

    def __post_init__(self) -> None:
        times = int(self.observed.any(1).sum())
        if times < MIN_TIMES:
            raise InputError(
                f"the record has observed values at {times} of {len(self.x)} times, and filling it needs at least "
                f"{MIN_TIMES}: give a longer record."
            )

    @property
    def missing(self) -> Bool[Tensor, "time cell"]:
        """Mask of the values that are neither observed nor masked."""
        missing = ~self.observed
        return missing if self.masked is None else missing & ~self.masked

    @property
    def bounded(self) -> Bool[Tensor, "time cell"]:
        """Mask of the values at which a gap of a cell ends: those that are observed or masked."""
        return self.observed if self.masked is None else self.observed | self.masked

    def masked_in(self, columns: slice | Int[Tensor, " some"]) -> Bool[Tensor, "time some"] | None:
        """The masked values of some columns, if there are any in the record."""
        return None if self.masked is None else self.masked[:, columns]

    def of_columns(self, columns: Int[Tensor, " some"]) -> Record:
        """The record of some columns, in ascending order, whose variables are numbered anew."""
        points, variable, area = self.columns
        number = variable[columns].unique(return_inverse=True)[1]
        kept = Columns(points[columns.cpu().numpy()], number, area[columns])
        bounds = self.bounds and self.bounds.at((slice(None), columns))
        noise = None if self.noise is None else self.noise[:, columns]
        return Record(
            self.x[:, columns], self.observed[:, columns], self.segment, kept, bounds=bounds, noise=noise,
            masked=self.masked_in(columns),
        )  # fmt: skip

    def scaled(self) -> tuple[Record, Float[Tensor, " cell"]]:
        """The record in units of the standard deviation of each value, 0 where missing; also the deviations."""
        deviation = self.statistics().deviation
        return replace(self, x=(self.x / deviation).masked_fill_(~self.observed, 0.0)), deviation

    def statistics(self) -> Statistics:
        """The statistics of the record that the methods are fitted to."""
        return self.fitted or Statistics(
            deviations(self.x, self.observed), counts(self.observed)[1], len(self.x)
        )


@dataclass(frozen=True, eq=False)
class Filling:
    """A filled record: observed values are untouched and have spread 0.

    A cell that is never observed has the mean 0 (the climatology) or a mean inferred from its neighbours; a time
    without observations is filled from its neighbours in time by the methods that use them. Callers flag both by
    `Record.observed`. `of_all` if the spread holds the uncertainty of all that is estimated, parameters too.
    """

    mean: Float[Tensor, "time cell"]
    spread: Float[Tensor, "time cell"]
    members: Float[Tensor, "time members cell"]
    of_all: bool = False


def empty_members(
    mean: Float[Tensor, "time cell"], streams: RandomStreams | None
) -> Float[Tensor, "time members cell"]:
    """An uninitialised tensor for the members; it has none without random numbers."""
    return mean.new_empty(len(mean), streams.members if streams else 0, mean.shape[1])


def with_observed(
    record: Record,
    mean: Float[Tensor, "time cell"],
    spread: Float[Tensor, "time cell"],
    members: Float[Tensor, "time members cell"],
) -> Filling:
    """Make a filling with the observed values bit for bit; in place, because each tensor is as large as the record."""
    x, o = record.x, record.observed
    return Filling(
        torch.where(o, x, mean, out=mean),
        spread.masked_fill_(o, 0.0),
        torch.where(o[:, None], x[:, None], members, out=members),
    )


# without random numbers the filling has no members
Filler = Callable[[Record, RandomStreams | None], Filling]
Parameters = dict[str, Tensor]  # of a fitted method, by name


class FittedFiller(Protocol):
    """A filler that can be applied without fitting it again.

    Parameters in `fitted` are used as they are, and new ones are added. Those in `start`, of a fit to a similar record,
    are the beginning of a fit, which keeps the number of their modes.
    """

    __name__: str
    __module__: str

    def __call__(
        self, record: Record, streams: RandomStreams | None, fitted: Parameters | None = None,
        start: Parameters | None = None,
    ) -> Filling:  # fmt: skip
        """Fill a record."""


# States as vectors of the values that exist, each scaled by its standard deviation.


MIN_DEVIATION = 1e-3  # smallest standard deviation of a value, as a share of the root mean square of all


def cells(space: Space, x: Shaped[Tensor, "*lead variable y x"]) -> Shaped[Tensor, "*lead cell"]:
    """Values of the cells that exist, over all variables."""
    return x[..., space.exists].flatten(-2)


def state(space: Space, values: Float[Tensor, "*lead cell"]) -> Float[Tensor, "*lead variable y x"]:
    """State with the given values, 0 where no cell exists."""
    x = values.new_zeros(*values.shape[:-1], *space.state_shape)
    x[..., space.exists] = values.unflatten(-1, (len(space.variables), -1))
    return x


def deviations(
    x: Float[Tensor, "time value"], observed: Bool[Tensor, "time value"]
) -> Float[Tensor, " value"]:
    """Standard deviation of each value about 0, shrunk towards their root mean square as by ten further observations.

    It is at least a thousandth of the root mean square, and 1 if all values are 0.
    """
    second = torch.empty(x.shape[1], dtype=torch.float64, device=x.device)
    for some in pieces(x.shape[1], len(x)):
        second[some] = torch.where(observed[:, some], x[:, some], 0.0).double().square().sum(0)
    count = counts(observed)[1]
    variance = (second + PRIOR_OBSERVATIONS * second.sum() / count.sum()) / (count + PRIOR_OBSERVATIONS)
    least = MIN_DEVIATION * float(variance.mean().sqrt())
    return (variance.sqrt().clamp(min=least) if least > 0 else torch.ones_like(variance)).to(x)


class ScaledStates(NamedTuple):
    """Training states in units of their standard deviations."""

    x: Float[Tensor, "time value"]
    observed: Bool[Tensor, "time value"]
    deviation: Float[Tensor, " value"]


def scale_states(space: Space, training: Iterable[Batch]) -> ScaledStates:
    """The training states of all batches as vectors."""
    values, present = [], []
    for batch in training:
        observed = torch.ones_like(batch.x, dtype=torch.bool) if batch.observed is None else batch.observed
        values.append(cells(space, batch.x))
        present.append(cells(space, observed))
    x, o = torch.cat(values), torch.cat(present)
    deviation = deviations(x, o)
    return ScaledStates(x / deviation, o, deviation)


# The threads of an operation wait for each other: on cores that other programs use as well, many times as long as the
# operation on a table of moderate size takes.


LARGE = 2**22  # number of values of a record above which methods compute with all threads
_GIVEN: ContextVar[int] = ContextVar("number of threads outside of `one_thread`")


@contextmanager
def one_thread(values: int = 0) -> Iterator[int]:
    """Compute with one thread, unless a record has more than `LARGE` values; gives the number of threads outside.

    Independent blocks may still be computed side by side, one in each of these threads.
    """
    count = torch.get_num_threads()
    given = _GIVEN.set(_GIVEN.get(count))
    if values <= LARGE:
        torch.set_num_threads(1)
    try:
        yield _GIVEN.get()
    finally:
        torch.set_num_threads(count)
        _GIVEN.reset(given)
