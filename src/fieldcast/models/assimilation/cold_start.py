"""A cycle without calibration: a filter from optimal interpolation, and climatological members."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.assimilation.baselines import FreeRun
from fieldcast.models.assimilation.filter import CycleState, Step, cycle
from fieldcast.models.assimilation.hybrid import Hybrid
from fieldcast.models.core import Context
from fieldcast.models.gaussian.seasonal_selection import pick, steps, within_season
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

SPIN_UP = 15  # steps of a free run after which it has nearly forgotten its initial state

Pasts = Float[Tensor, "batch members past variable y x"]


def hybrid_of(model: OptimalInterpolation) -> Hybrid:
    """A hybrid filter whose background-error sample is the training anomalies of optimal interpolation.

    Innovations scale them from the size of weather to that of forecast errors. Taper and floor are those of the
    interpolation, the weight of the ensemble is the filter's default. `background_errors.learn_errors` replaces
    sample and taper where it can.
    """
    hybrid = Hybrid(model.space).to(model.anomalies.device)
    hybrid.fill_pool(model.grid.scatter(model.anomalies))
    hybrid.choose(taper=float(model.taper), floor=float(model.floor))
    return hybrid


def training_stretches(
    model: OptimalInterpolation, day: Float[Tensor, " batch"], draws: RandomStreams, past: int
) -> Pasts | None:
    """Successive training states of optimal interpolation that end within 45 days of each given day of the year.

    None if it keeps no `past` successive states, which is the case if it keeps a small share of a long record.
    """
    allowed = kept_stretches(model, past)
    if not allowed.any():
        return None
    allowed = within_season(model.days, day, allowed.expand(len(day), -1))
    return training_states(model, pick(allowed, draws.uniform(1)[..., 0]), past)


def kept_stretches(model: OptimalInterpolation, length: int) -> Bool[Tensor, " n"]:
    """Mask of the training times that end a stretch of `length` states one step apart, all of which are kept."""
    row, allowed = rows_of(model), ends_of_stretches(model.days, length)
    for lag in range(length):
        allowed[lag:] &= row[: len(row) - lag] >= 0
    return allowed


def training_states(
    model: OptimalInterpolation, last: Int[Tensor, "*batch"], length: int
) -> Float[Tensor, "*batch length variable y x"]:
    """The stretches of `length` states that end at these training times."""
    index = last[..., None] + torch.arange(1 - length, 1, device=last.device)
    return model.grid.scatter(model.anomalies[rows_of(model)[index]])


def rows_of(model: OptimalInterpolation) -> Int[Tensor, " n"]:
    """Row of each training time in the anomalies; -1 for times that are not kept."""
    row = torch.full((len(model.days),), -1, device=model.days.device)
    row[model.number] = torch.arange(len(model.number), device=row.device)
    return row


def ends_of_stretches(days: Float[Tensor, " n"], past: int) -> Bool[Tensor, " n"]:
    """Mask of the times that end a stretch of `past` states one step apart; `days` are fractions of the year."""
    ends = torch.arange(len(days), device=days.device) >= past - 1
    if past < 2 or len(days) < past or days.isnan().any():
        return ends
    step = steps(days)
    regular = (step - step.median()).abs() < step.median() / 2
    ends[past - 1 :] = regular.unfold(0, past - 1, 1).all(1)
    return ends


@torch.no_grad()
def free_run_states(
    space: Space, forecast: Step, day: Float[Tensor, " batch"], draws: RandomStreams, past: int
) -> Pasts:
    """The last states of free runs of 15 steps from the climatological mean: a sample of the forecast's climatology."""
    zero = torch.zeros(len(day), draws.members, past, *space.state_shape, device=day.device)
    state = CycleState(zero, {})
    contexts = (Context(len(day), day=day) for _ in range(SPIN_UP))
    for step in cycle(FreeRun(space), forecast, contexts, state, draws):
        state = step.state
    return state.past
