"""Interface of the filters: p(x_t | y_1 .. y_t) by alternating forecasts and updates.

    x_b = f(x_a(t-1)),    x_a(t) ~ p(x | x_b, y_t)

The background, members of p(x_t | y_1 .. y_{t-1}), comes from the previous analyses; the analysis also uses the
observations at time t. The memory of a filter is everything else that it carries from step to step, such as the scale
of its background covariance: a mapping of tensors.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.innovations import MAX_INNOVATION
from fieldcast.models.core import Context, Model
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.replicas import by_share, is_alone, move_to

BACKGROUND, UPDATE = range(2)  # streams of a step
Members = Float[Tensor, "batch members variable y x"]
Memory = Mapping[str, Tensor]
Step = Callable[[Context, RandomStreams], Members]  # one draw of the next state for each row of a context


@dataclass(frozen=True, eq=False)
class CycleState:
    """Start of the next step: the last analyses of each member, oldest first, and the memory of the filter."""

    past: Float[Tensor, "batch members past variable y x"]
    memory: Memory

    def followed_by(self, x: Members, memory: Memory) -> CycleState:
        """The state after another analysis."""
        return CycleState(torch.cat([self.past[:, :, 1:], x[:, :, None]], dim=2), memory)


class CycleStep(NamedTuple):
    """Background of one step, memory that the update needs, analysis, and the state that the next step starts from."""

    background: Members
    update_memory: Memory
    analysis: Members
    state: CycleState


class Filter(Model):
    """A model that updates a background by observations; `cycle` runs it, because `sample` has no background."""

    needs_forecast: bool = True  # the background comes from another model, the forecast
    # number of members in a cycle; None: the same as for the other filters
    ensemble_size: int | None = None
    needs_spread: bool = False  # the covariance is estimated from the members, which must differ
    needs_finite: bool = True  # `cycle` refuses a background that is not finite
    learns_errors: bool = False  # the covariance is estimated from a background-error sample, see `fill_pool`

    def fill_pool(self, errors: Float[Tensor, "pool variable y x"]) -> None:
        """Set the background-error sample, forecasts minus truth, that the covariance is estimated from."""

    def calibrated_at(self, k: float) -> Mapping[float, Filter]:
        """The filters to calibrate, by the fraction of observed cells: this one, for k, unless it has copies."""
        return {k: self}

    def begin(self, count: int) -> dict[str, Tensor]:
        """The memory of `count` cycles before their first step."""
        return {}

    def background(
        self, state: CycleState, day: Float[Tensor, " batch"], forecast: Step, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        """Members of p(x_t | y_1 .. y_{t-1}), from the analyses before time t, and the memory for the update.

        By default each member continues its own past.
        """
        return members_ahead(state, day, forecast, streams), state.memory

    @abstractmethod
    def update(
        self, background: Members, c: Context, memory: Memory, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        """Members of p(x_t | y_1 .. y_t), as many as the background has, and the memory of the next step.

        `memory` is what `background` returned.
        """

    def background_mean(self, step: CycleStep) -> Float[Tensor, "batch variable y x"]:
        """The mean of p(x_t | y_1 .. y_{t-1})."""
        return step.background.mean(dim=1)

    def sample(self, c: Context, streams: RandomStreams) -> Members:
        """Raise: a filter needs a background."""
        raise TypeError(f"{type(self).__name__} is run by `cycle`")


def members_ahead(
    state: CycleState, day: Float[Tensor, " batch"], forecast: Step, streams: RandomStreams
) -> Members:
    """A draw of the next state for each member, from its own past."""
    count, members = state.past.shape[:2]
    c = Context(count * members, past=state.past.flatten(0, 1), day=day.repeat_interleave(members))
    return forecast(c, streams.per_row())[:, 0].unflatten(0, (count, members))


def cycle(
    filter: Filter, forecast: Step, observations: Iterable[Context], state: CycleState, streams: RandomStreams,
    first: int = 1,
) -> Iterator[CycleStep]:  # fmt: skip
    """Yield the background and the analysis, step by step.

    Parameters
    ----------
    filter
        The filter.
    forecast
        Draws the next state for each row of a context.
    observations
        The context of each time, with a row for each cycle: values, mask, noise, and the day of the year.
    state
        The members from which the first step is forecast, and the memory.
    streams
        Random numbers, with a datum for each cycle, and as many members as `state`.
    first
        Number of the first step, from 1: the draws of a step depend on its number, so a cycle can resume.
    """
    for number, c in enumerate(observations, first):
        assert c.day is not None
        step_streams = streams.at_lead(number)
        with torch.no_grad():
            background, update_memory = filter.background(
                state, c.day, forecast, step_streams.fork(BACKGROUND)
            )
            if filter.needs_finite:
                require_finite(background, filter.space.exists, number)
            analysis, memory = updated(filter, background, c, update_memory, step_streams.fork(UPDATE))
        state = state.followed_by(analysis, memory)
        yield CycleStep(background, update_memory, analysis, state)


def updated(
    filter: Filter, background: Members, c: Context, memory: Memory, streams: RandomStreams
) -> tuple[Members, Memory]:
    """The analysis and the memory after an update, by the filter and its replicas side by side."""
    if is_alone(filter, c.count):
        return filter.update(background, c, memory, streams)

    def of_share(filter: Filter, share: slice) -> tuple[Members, Memory]:
        device = filter.space.area.device
        before = {name: value[share].to(device) for name, value in memory.items()}
        share_streams, context = move_to(streams.of_data(share), device), move_to(c[share], device)
        return filter.update(background[share].to(device), context, before, share_streams)

    members, memories = zip(*by_share(filter, c.count, of_share), strict=True)
    home = background.device
    after = {name: torch.cat([part[name].to(home) for part in memories]) for name in memories[0]}
    return torch.cat([x.to(home) for x in members]), after


def require_finite(background: Members, exists: Bool[Tensor, "y x"], number: int) -> None:
    """Raise an InputError for a background with values that are not finite, at step `number`."""
    if not background.masked_fill(~exists, 0.0).isfinite().all():
        raise InputError(
            f"the forecast that the cycle runs has diverged at step {number}: choose another forecast model, or train "
            "this one for longer."
        )


# A scale s of background error covariances, from the innovations up to the present.
#
#     s = <d^2 - R> / <diag(H P H^T)>,
#
# d innovations, R their error variances, P the covariance for s = 1; the running means < > give the past the weight
# `MEMORY` at each step (Wang and Bishop 2003, "A comparison of breeding and ensemble transform Kalman filter ensemble
# forecast schemes", section 3c).


NORMAL_MEDIAN = 0.6745  # median of |z| for z ~ N(0, 1)
MEMORY = 0.9  # weight of the past in the running means: a time scale of ten steps
SCALES = 0.02, 4.0  # smallest and largest s
MAX_ERROR = 1e3  # error variance, in expected variances, above which an innovation says nothing about s
# names in the memory: s and the two running means of each cycle
REMEMBERED = "scale", "excess", "expected"


def unscaled(count: int, device: torch.device) -> dict[str, Tensor]:
    """The memory of `count` cycles before their first step: s = 1."""
    ones = torch.ones(count, dtype=torch.float64, device=device)
    return {"scale": ones, "excess": 0 * ones, "expected": 0 * ones}


def rescale(
    memory: dict[str, Tensor], cycle: int, d: Float[Tensor, " observed"],
    error: Float[Tensor, " observed"], expected: Float[Tensor, " observed"],
) -> float:  # fmt: skip
    """Update the memory of a cycle by innovations of error variances R and expected variances HPH^T; return s.

    An innovation counts unless it exceeds `MAX_INNOVATION` robust standard deviations. The robust standard deviation is
    sqrt(s HPH^T + R), with the last s, times the median of |d| / sqrt(s HPH^T + R) over 0.6745, the median for a
    correct s. The mean excess over R is limited to the largest s times its expected value. So neither gross errors nor
    a first step inflate s. A mean, not a median, gives s, because forecast errors have heavier tails than a Gaussian.
    """
    # cells without variance say nothing about s, nor do observations with very large errors
    informative = (expected > 0) & (error <= MAX_ERROR * memory["scale"][cycle] * expected)
    ratio = d.abs() / (memory["scale"][cycle] * expected + error).sqrt()
    if informative.any():
        informative &= ratio <= MAX_INNOVATION * ratio[informative].quantile(0.5) / NORMAL_MEDIAN
        expected = expected[informative].mean()
        excess = (d.square() - error)[informative].mean().clamp(max=SCALES[1] * expected)
        for name, value in (("excess", excess), ("expected", expected)):
            memory[name][cycle] = MEMORY * memory[name][cycle] + (1 - MEMORY) * value
        memory["scale"][cycle] = (memory["excess"][cycle] / memory["expected"][cycle]).clamp(*SCALES)
    return float(memory["scale"][cycle])
