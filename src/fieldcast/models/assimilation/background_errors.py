"""Background errors for a cycle without calibration: errors of forecasts from analyses of training states.

    e = mean_j f(x_a,j(t - p) .. x_a,j(t - 1)) - x(t),    x_a,j(t - l) ~ p(x | H x(t - l) + eps)

x: training states; x_a,j: members of the analyses by optimal interpolation, each time by itself and with independent
draws; f: the forecast of one step from p states. H and the variance of eps are those of some time of the record.
Analyses of a cycle are more accurate, so these errors are usually too large; innovations scale them. What matters is
their correlation: that of anomalies reaches farther, so that it spreads increments too far and leaves the analysis
underdispersive.
"""

from __future__ import annotations

import logging

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.assimilation.baselines import FreeRun
from fieldcast.models.assimilation.filter import CycleState, Members, Step, cycle, members_ahead
from fieldcast.models.assimilation.hybrid import Hybrid
from fieldcast.models.core import Context
from fieldcast.models.gaussian.seasonal_selection import FOLDS, pick, steps, within_season
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space, evenly
from fieldcast.runtime import Progress

ERRORS, MEMBERS = 320, 4  # largest number of errors, and number of members of each analysis
MIN_ERRORS = 50  # with fewer, the training anomalies are the better sample
GROUPS = 16  # groups of errors: each has an observing network, and bounds the memory of a forecast
MANY_STATES = 1000  # training states from which the share of a single one in their covariance hardly matters
TAPERS = (0.0, 20000.0, 12000.0, 8000.0, 6000.0, 4500.0)  # chords [km]; 0: no taper
TAPER_NETWORKS = 2  # observing networks with which the taper is chosen
OBSERVATIONS, ANALYSES, FORECASTS = range(3)  # streams of an error

LOG = logging.getLogger(__name__)


@torch.no_grad()
def learn_errors(
    filter: Hybrid, model: OptimalInterpolation, forecast: Step, c: Context, past: int, seed: int
) -> None:
    """Set the background-error sample of a filter, and choose its taper.

    The filter keeps its sample and taper, with a warning, if there are fewer than `MIN_ERRORS` errors: in a short
    record, or in a long one of which the model keeps so few states that hardly any `past` + 1 are successive.

    Parameters
    ----------
    filter
        The filter of the cycle.
    model
        The interpolation, with its training states.
    forecast
        The forecast of one step.
    c
        The observations that the cycle assimilates.
    past
        Number of states that a forecast starts from.
    seed
        Seed of the observation errors, analyses and forecasts.
    """
    last, masks = kept_stretches(model, past + 1).nonzero()[:, 0], networks_of(c)
    count = len(last)
    if count >= MIN_ERRORS:
        last = last[evenly(count, ERRORS)]
        errors = background_errors(model, forecast, masks, c.noise, last, past, seed)
        count = len(errors)
        if count >= MIN_ERRORS:
            choose_taper(filter, errors, masks[evenly(len(masks), TAPER_NETWORKS)], c.noise, seed)
            filter.fill_pool(errors)
            return
    LOG.warning(
        "The training states that the interpolation keeps give %d errors of forecasts, and %d are needed: the cycle "
        "uses the covariance of training anomalies instead, so expect too little spread.",
        count, MIN_ERRORS,
    )  # fmt: skip


def networks_of(c: Context) -> Bool[Tensor, "network variable y x"]:
    """Observing networks: masks of at most `GROUPS` evenly spaced times of the record that have observations."""
    _, mask = c.observations()
    if (points := c.points) is not None:
        mask = mask.flatten(2)
        mask = mask.index_put((points.datum, points.variable, points.cells[:, 0]), mask.new_ones(())).view(
            c.observations()[1].shape
        )
    times = mask.flatten(1).any(1).nonzero()[:, 0]
    return mask[times[evenly(len(times), GROUPS)]] if len(times) else mask[:1]


@torch.no_grad()
def background_errors(
    model: OptimalInterpolation, forecast: Step, masks: Bool[Tensor, "network variable y x"], noise: float,
    last: Int[Tensor, " error"], past: int, seed: int,
) -> Float[Tensor, "finite variable y x"]:  # fmt: skip
    """Forecast errors e at some training times, those that are finite.

    The analyses of few training states are cross-fitted: those of a fold do not use its states.
    """
    folds = FOLDS if len(model.anomalies) < MANY_STATES else 1
    fold_of = model.folds()[last] if folds > 1 else torch.zeros_like(last)
    errors = []
    for group in Progress(range(GROUPS), unit="observing network"):
        of_fold = (fold_of == group % folds).nonzero()[:, 0]
        # the group's share of the fold
        datum = of_fold[group // folds :: len(range(group % folds, GROUPS, folds))]
        index = last[datum, None] + torch.arange(-past, 1, device=last.device)
        x, days = training_states(model, last[datum], past + 1), model.days[index]
        streams = RandomStreams(seed_for("background errors", seed), datum, MEMBERS)
        mask, fold = masks[group % len(masks)], group % folds if folds > 1 else None
        analyses = [
            analysed(model, x[:, lag], mask, days[:, lag], noise, streams.at_lead(lag), fold)
            for lag in range(past)
        ]
        state = CycleState(torch.stack(analyses, dim=2), {})
        ahead = members_ahead(state, days[:, past], forecast, streams.fork(FORECASTS))
        e = (ahead.mean(dim=1) - x[:, past]).masked_fill(~model.space.exists, 0.0)
        errors.append(e[e.flatten(1).isfinite().all(1)])  # the cycle itself reports a forecast that diverges
    return torch.cat(errors)


def analysed(
    model: OptimalInterpolation, x: Float[Tensor, "batch variable y x"], mask: Bool[Tensor, "variable y x"],
    day: Float[Tensor, " batch"], noise: float, streams: RandomStreams, fold: int | None,
) -> Members:  # fmt: skip
    """Members of p(x | y) for observations y of states x, from the training states outside a fold."""
    c, stream = observations_of(x, mask, day, noise, streams), streams.fork(ANALYSES)
    return model.analyse(c, stream, torch.zeros_like(x), model.season(c, stream, fold), fold=fold)[2]


def observations_of(
    x: Float[Tensor, "batch variable y x"], mask: Bool[Tensor, "variable y x"], day: Float[Tensor, " batch"] | None,
    noise: float, streams: RandomStreams,
) -> Context:  # fmt: skip
    """Observations of states in the cells of a mask."""
    eps = noise * streams.fork(OBSERVATIONS).alone().normal(*x.shape[1:])[:, 0]
    masks = mask.expand(len(x), -1, -1, -1)
    return Context(len(x), observed=(x + eps) * masks, mask=masks, day=day, noise=noise)


def choose_taper(
    filter: Hybrid, errors: Float[Tensor, "error variable y x"], masks: Bool[Tensor, "network variable y x"],
    noise: float, seed: int,
) -> None:  # fmt: skip
    """Choose the taper with which every other error best predicts the others, from their values in observed cells."""
    filter.fill_pool(errors[::2])
    x = errors[1::2]
    streams = RandomStreams(seed_for("taper", seed), torch.arange(len(x), device=x.device))
    observations = [observations_of(x, mask, None, noise, streams) for mask in masks]

    def loss(taper: float) -> float:
        filter.choose(taper=taper)
        square = torch.stack([(filter.static_mean(c) - x).square().mean(0) for c in observations])
        return float((filter.space.existing_area * square).sum())

    filter.choose(taper=min(TAPERS, key=loss))


# A cycle without calibration: a filter from optimal interpolation, and climatological members.


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
    model: OptimalInterpolation, day: Float[Tensor, " batch"], streams: RandomStreams, past: int
) -> Pasts | None:
    """Successive training states of optimal interpolation that end within 45 days of each given day of the year.

    None if it keeps no `past` successive states, which is the case if it keeps a small share of a long record.
    """
    allowed = kept_stretches(model, past)
    if not allowed.any():
        return None
    allowed = within_season(model.days, day, allowed.expand(len(day), -1))
    return training_states(model, pick(allowed, streams.uniform(1)[..., 0]), past)


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
    space: Space, forecast: Step, day: Float[Tensor, " batch"], streams: RandomStreams, past: int
) -> Pasts:
    """The last states of free runs of 15 steps from the climatological mean: a sample of the forecast's climatology."""
    zero = torch.zeros(len(day), streams.members, past, *space.state_shape, device=day.device)
    state = CycleState(zero, {})
    contexts = (Context(len(day), day=day) for _ in range(SPIN_UP))
    for step in cycle(FreeRun(space), forecast, contexts, state, streams):
        state = step.state
    return state.past
