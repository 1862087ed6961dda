"""Background errors for a cycle without calibration: forecasts of training states, observed where the record is.

    e = mean_j f(x_a,j(t - p) .. x_a,j(t - 1)) - x(t),    x_a,j(t - l) ~ p(x | H x(t - l) + eps)

x: training states; x_a,j: members of the analyses by optimal interpolation, of each time by itself; f: the forecast of
one step from p states; H and the variance of eps: as at some time of the record. The analyses of a cycle are better, so
that these errors are too large, and innovations scale them. Their shape is what counts: the correlations of anomalies
reach farther, would spread an observation too far, and leave an analysis with too little variance.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.assimilation.cold_start import kept_stretches, training_states
from fieldcast.models.assimilation.filter import CycleState, Step, members_ahead
from fieldcast.models.assimilation.hybrid import Hybrid
from fieldcast.models.core import Context
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.selection import evenly
from fieldcast.progress import Progress

ERRORS, MEMBERS, NETWORKS = 400, 4, 16  # number of errors, members of each analysis, observing networks
TAPERS, TRIED = (
    (0.0, 20000.0, 12000.0, 8000.0, 6000.0, 4500.0),
    2,
)  # chords [km], and networks to choose one with
OBSERVATIONS, ANALYSES, FORECASTS = range(3)  # streams of an error


@torch.no_grad()
def learn_errors(
    filter: Hybrid, model: OptimalInterpolation, forecast: Step, c: Context, past: int, seed: int
) -> None:
    """Fill the pool of a filter with background errors, and choose its taper.

    The filter stays as it is if the model keeps no `past` + 1 successive training states.

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
    last = kept_stretches(model, past + 1).nonzero()[:, 0]
    if len(last) >= 2:
        masks = networks_of(c)
        errors = background_errors(
            model, forecast, masks, c.noise, last[evenly(len(last), ERRORS)], past, seed
        )
        choose_taper(filter, errors, masks[evenly(len(masks), TRIED)], c.noise, seed)
        filter.fill_pool(errors)


def networks_of(c: Context) -> Bool[Tensor, "network variable y x"]:
    """Masks of a record at evenly spaced times with observations, at most `NETWORKS` of them."""
    _, mask = c.observations()
    observed = mask.flatten(1).any(1)
    some = mask[observed] if observed.any() else mask[:1]
    return some[evenly(len(some), NETWORKS)]


def background_errors(
    model: OptimalInterpolation, forecast: Step, masks: Bool[Tensor, "network variable y x"], noise: float,
    last: Int[Tensor, " error"], past: int, seed: int,
) -> Float[Tensor, "error variable y x"]:  # fmt: skip
    """Forecast errors e at some training times, which take the observing networks in turn."""
    errors = []
    for number, mask in enumerate(Progress(masks, unit="observing network")):
        datum = torch.arange(number, len(last), len(masks), device=last.device)
        index = last[datum, None] + torch.arange(-past, 1, device=last.device)
        x, days = training_states(model, last[datum], past + 1), model.days[index]
        draws = RandomStreams(seed_for("background errors", seed), datum, MEMBERS)
        analyses = [
            model.sample(
                observations_of(x[:, lag], mask, days[:, lag], noise, draws.at_lead(lag)),
                draws.at_lead(lag).fork(ANALYSES),
            )
            for lag in range(past)
        ]
        state = CycleState(torch.stack(analyses, dim=2), {})
        ahead = members_ahead(state, days[:, past], forecast, draws.fork(FORECASTS))
        errors.append(ahead.mean(dim=1) - x[:, past])
    return torch.cat(errors)


def observations_of(
    x: Float[Tensor, "batch variable y x"], mask: Bool[Tensor, "variable y x"], day: Float[Tensor, " batch"] | None,
    noise: float, draws: RandomStreams,
) -> Context:  # fmt: skip
    """Observations of states in the cells of a mask."""
    eps = noise * draws.fork(OBSERVATIONS).alone().normal(*x.shape[1:])[:, 0]
    masks = mask.expand(len(x), -1, -1, -1)
    return Context(len(x), observed=(x + eps) * masks, mask=masks, day=day, noise=noise)


def choose_taper(
    filter: Hybrid, errors: Float[Tensor, "error variable y x"], masks: Bool[Tensor, "network variable y x"],
    noise: float, seed: int,
) -> None:  # fmt: skip
    """Choose the taper with which every other error predicts the rest best, from their values in the cells of masks."""
    filter.fill_pool(errors[::2])
    x = errors[1::2]
    draws = RandomStreams(seed_for("taper", seed), torch.arange(len(x), device=x.device))
    observations = [observations_of(x, mask, None, noise, draws) for mask in masks]
    weights = filter.space.existing_area * ~masks

    def loss(taper: float) -> float:
        filter.choose(taper=taper)
        square = torch.stack([(filter.static_mean(c) - x).square().mean(0) for c in observations])
        return float((weights * square).sum())

    filter.choose(taper=min(TAPERS, key=loss))
