"""Tuning on the validation split: coordinate search over a model's `choices`, EMOS, and the weights of a pool.

The score of the search is the mean, over fractions k or over lead times and pieces of the split, of the logarithm of
the fair CRPS on unobserved cells: a gain of one percent counts the same whether few or many values are observed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.inference.forecasts.ensemble import rollout
from fieldcast.models.core import Batch, Context, Model
from fieldcast.models.emos import EMOS, moments, predictive
from fieldcast.models.layers.crps import fair_crps, normal_crps
from fieldcast.models.pool import Pool, with_history_of
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space, evenly
from fieldcast.training.batches import STARTS, Batches, ForecastWindows
from fieldcast.training.options import Fit

LOG = logging.getLogger(__name__)
ITERATIONS = 60  # largest number of iterations of L-BFGS
States = Float[Tensor, "start variable y x"]
Coefficients = Float[Tensor, "variable 4"]


@torch.no_grad()
def tune(model: Model, validation: Batches, options: Fit, seed: int) -> list[dict[str, Any]]:
    """Choose the best value of each of `model.choices`, one after another, and return the trials.

    A model without choices is scored once. If nothing is observed in the validation split, nothing is tuned.
    """
    batches = scored_trials(model.space, validation, options.tuning, seed)
    if not batches:
        return [{"step": 0, **model.tuned_values(), "validation": math.nan}]
    table: list[dict[str, Any]] = []
    for _ in search(model, lambda: np.mean([score(model, batch, draws) for batch, draws in batches]), table):
        pass
    return table


def scored_trials(
    space: Space, validation: Batches, count: int, seed: int
) -> list[tuple[Batch, RandomStreams]]:
    """The trials of the validation split in which a cell is scored; logs a warning if there are none."""
    trials = [trial for trial in validation.trials(count, seed) if scored_weight(space, trial[0]).any()]
    if not trials:
        LOG.warning("nothing is observed in the validation split, so nothing is tuned.")
    return trials


def search(model: Model, trial: Callable[[], float], table: list[dict[str, Any]]) -> Iterator[None]:
    """Choose the best value of each of `model.choices` in turn, and yield after each trial; `table` holds the trials.

    `trial` returns the logarithm of a score, the lower the better. Trials in the table are not repeated. A choice none
    of whose values gives a finite score keeps its present value.
    """
    names = list(model.choices)
    # scores themselves are compared: the logarithms of stored scores differ in the last digit
    scores = {tuple(row[name] for name in names): float(row["validation"]) for row in table}

    def trials(candidates: Sequence[Mapping[str, float]]) -> Generator[None, None, list[float]]:
        results = []
        for values in candidates:
            model.choose(**values)
            key = tuple(model.tuned_values().values())
            if key not in scores:
                scores[key] = math.exp(trial())
                table.append({"step": len(table), **model.tuned_values(), "validation": scores[key]})
                yield
            results.append(scores[key])
        return results

    yield from trials([{}])
    for name, values in model.choices.items():
        best = model.tuned_values()[name]
        results = yield from trials([{name: value} for value in values])
        if np.isfinite(results).any():
            best = values[int(np.argmin(np.nan_to_num(results, nan=np.inf)))]
        else:
            LOG.warning(
                "tuning: the model's draws are not finite with any value of %s; %g is kept.", name, best
            )
        model.choose(**{name: best})


def number_of_trials(model: Model) -> int:
    """The number of trials of a `search`: the present values, and one change of one of them in each other trial."""
    present = model.tuned_values()
    changes = [
        not math.isclose(v, present[name], rel_tol=1e-6)
        for name, values in model.choices.items()
        for v in values
    ]
    return 1 + sum(changes)


def score(model: Model, batch: Batch, streams: RandomStreams) -> float:
    """Logarithm of the area-weighted fair CRPS on unobserved cells, or its mean over the steps of a rollout."""
    weight, logs = scored_weight(model.space, batch), []
    for x, truth in drawn_states(model, batch.context, batch, streams):
        crps = fair_crps(x, truth)
        logs.append(torch.log((crps * weight).sum() / weight.expand_as(crps).sum()))
    return float(torch.stack(logs).mean())


def drawn_states(
    model: Model, c: Context, batch: Batch, streams: RandomStreams
) -> Iterator[tuple[Float[Tensor, "batch members variable y x"], Float[Tensor, "batch variable y x"]]]:
    """Yield draws and truth of each step of a rollout, or of the single states of a batch."""
    members = 1 if model.deterministic else streams.members
    member_streams = RandomStreams(streams.seed, streams.datum, members, streams.step, first=streams.first)
    if batch.x.ndim == 5:
        steps = rollout(model, c.repeat(members), member_streams, batch.x.shape[1])
        yield from ((x, truth) for (x, _), truth in zip(steps, batch.x.unbind(1), strict=True))
    else:
        yield model.sample(c, member_streams), batch.x


def scored_weight(space: Space, batch: Batch) -> Float[Tensor, "*batch y x"]:
    """Areas of the scored cells, which exist, are not observed and have a truth; 0 elsewhere."""
    weight = space.existing_area
    if batch.x.ndim == 5:
        return weight
    if batch.context.mask is not None:
        weight = weight * ~batch.context.mask
    return weight if batch.observed is None else weight * batch.observed


# Fit the coefficients of EMOS, which minimise the CRPS of the normal distribution on validation states.
#
# Forecasts from evenly spaced validation states, with the number of members of the model, give m and s^2 by lead. All
# leads share their starts, except that where gaps leave few for long leads, short leads use more. The area-weighted
# mean of CRPS(N(a v + b m, c v^2 + d s^2), y) is minimised for each variable by L-BFGS over a, b, sqrt(c) and
# sqrt(d), so that c and d are not negative (Gneiting et al. 2005, section 2b). Where s^2 is 0, d stays 0.


def fit_emos(model: EMOS, validation: Batches, count: int, seed: int) -> list[dict[str, Any]]:
    """Set the coefficients of each lead, and return its CRPS, the mean over variables, as `validation`.

    Leads longer than any stretch of the validation split take the coefficients of the longest lead that was fitted.
    """
    if not isinstance(validation, ForecastWindows):
        raise InputError("emos.EMOS calibrates forecasts: use it in an experiment of the task forecast.")
    weight = model.space.existing_area.double()
    table, start = [], None
    for lead, (m, variance, y) in enumerate(forecasts(model, validation, count, seed)):
        start, score = minimise_crps(m, variance, y, weight, model.v, start)
        model.coefficients[lead:] = start.to(model.coefficients)
        table.append({"step": lead + 1, "validation": score})
    return table


def forecasts(
    model: EMOS, validation: ForecastWindows, count: int, seed: int
) -> Iterator[tuple[States, States, States]]:
    """Yield mean and variance of the members of the calibrated model, and the truth, lead by lead."""
    lead = 0
    while lead < model.leads and len(windows := longest_windows(validation, lead + 1, model.leads)):
        yield from islice(forecasts_in(windows, model, count, seed), lead, None)
        lead = windows.steps
    if lead == 0:
        raise InputError(
            f"emos.EMOS: the validation split has no {max(validation.history, 1) + 1} successive times: give it more."
        )


def forecasts_in(
    windows: ForecastWindows, model: EMOS, count: int, seed: int
) -> Iterator[tuple[States, States, States]]:
    """Yield moments and truth as `forecasts`, from evenly spaced windows."""
    forecaster, members = model.forecaster, 1 if model.forecaster.deterministic else model.members
    index = evenly(len(windows), count).to(windows.last.device)
    runs, truths = [], []
    for piece in index.split(STARTS):
        batch = windows.window(windows.last[piece], windows.steps)
        streams = RandomStreams(seed_for("emos", seed), piece, members)
        runs.append(rollout(forecaster, batch.context.repeat(members), streams, windows.steps))
        truths.append(batch.x if windows.steps > 1 else batch.x[:, None])
    for lead in range(windows.steps):
        with torch.no_grad():  # as a decorator it would not cover the body of a generator
            pieces = [moments(next(run)[0]) for run in runs]
        m, variance = (torch.cat(piece) for piece in zip(*pieces, strict=True))
        yield m, variance, torch.cat([x[:, lead] for x in truths])


def longest_windows(validation: ForecastWindows, lead: int, leads: int) -> ForecastWindows:
    """The longest windows, of up to `leads` leads, from at least half as many starts as windows of `lead` leads have.

    The starts of the longest leads alone may lie in few stretches of a record with gaps, and tell little of the others.
    """
    shortest = replace(validation, steps=lead)
    for steps in range(leads, lead, -1):
        windows = replace(validation, steps=steps)
        if len(windows) and 2 * len(windows) >= len(shortest):
            return windows
    return shortest


@torch.enable_grad()
def minimise_crps(
    m: States, variance: States, y: States, weight: Float[Tensor, "y x"], v: Float[Tensor, "variable y x"],
    start: Coefficients | None = None,
) -> tuple[Coefficients, float]:  # fmt: skip
    """Coefficients a, b, c, d of each variable with the lowest CRPS, and the mean of this CRPS over variables."""
    m, variance, y, v = (values.double() for values in (m, variance, y, v))
    share = weight / weight.sum() / len(m)
    root = (initial_coefficients(m, y, share, v) if start is None else start).double().clone()
    root[:, 2:] = root[:, 2:].clamp(min=1e-4).sqrt()
    if not variance.any():
        root[:, 3] = 0.0
    root.requires_grad_()
    optimiser = torch.optim.LBFGS(
        [root], max_iter=ITERATIONS, line_search_fn="strong_wolfe", tolerance_change=1e-10
    )

    def score() -> Tensor:
        mu, sigma = predictive(from_roots(root), v, m, variance)
        return (normal_crps(y - mu, sigma) * share).sum(dim=(0, 2, 3))

    def closure() -> float:
        optimiser.zero_grad()
        total = score().sum()
        total.backward()
        return float(total.detach())

    optimiser.step(closure)
    with torch.no_grad():
        final = score()
        coefficients = from_roots(root)
    if not math.isfinite(float(final.sum())):
        raise InputError(
            "emos.EMOS: the forecasts that it calibrates are not finite on the validation split: choose a model whose "
            "rollouts stay finite, or set model.leads lower."
        )
    return coefficients, float(final.mean())


def initial_coefficients(
    m: States, y: States, share: Float[Tensor, "y x"], v: Float[Tensor, "variable y x"]
) -> Coefficients:
    """Coefficients to start from: a = 0, b = 1, c v^2 the variance of the errors of m, d = 1/4."""
    error = ((y - m).square() * share).sum(dim=(0, 2, 3)) / (v.square() * share * len(m)).sum(dim=(1, 2))
    return torch.stack([torch.zeros_like(error), torch.ones_like(error), error, 0 * error + 0.25], dim=1)


def from_roots(root: Coefficients) -> Coefficients:
    """Coefficients a, b, c, d from a, b and the roots of c and d."""
    return torch.cat([root[:, :2], root[:, 2:].square()], dim=1)


# Fit the weights of a pool, which minimise the CRPS of the mixture on validation states.
#
#     CRPS(sum_i w_i p_i, y) = sum_i w_i a_i - sum_ij w_i w_j b_ij / 2,    a_i = E|x_i - y|,  b_ij = E|x_i - x_j'|,
#
# with independent draws x_i and x_j' of the parts i and j (Gneiting and Raftery 2007, eq. 21, for a mixture). One
# rollout of each part therefore gives the score of every pool. As in the search, the logarithm of the score is averaged
# over fractions or lead times.


STEPS = 20  # weights are multiples of a twentieth: ensembles have ten or twenty members


@torch.no_grad()
def tune_weights(model: Pool, trials: Sequence[tuple[Batch, RandomStreams]]) -> list[dict[str, Any]]:
    """Set the best weights, and return the scores of each part alone and, in the last row, of the pool.

    Without trials the weights stay as they are.
    """
    if not trials:
        return [{"step": 0, **model.tuned_values(), "validation": math.nan}]
    distances = [pair for batch, draws in trials for pair in mean_distances(model, batch, draws)]
    a, b = (torch.stack(terms) for terms in zip(*distances, strict=True))
    diverged = [name for number, name in enumerate(model.parts) if not a[:, number].isfinite().all()]
    if diverged:
        raise InputError(
            f"pool.Pool: draws of the part {diverged[0]} are not finite on the validation split: leave it out of "
            "model.parts and of uses, or train its experiment again."
        )
    weights = compositions(len(model.parts)).to(a)
    scores = torch.log(weights @ a.T - torch.einsum("wi,kij,wj->wk", weights, b, weights) / 2).mean(dim=1)
    best = int(scores.argmin())
    model.weights = weights[best].float()
    alone = [int(weights[:, part].argmax()) for part in range(len(model.parts))]
    table = []
    for step, row in enumerate([*alone, best]):
        by_part = dict(zip(model.parts, weights[row].tolist(), strict=True))
        table.append({"step": step, **by_part, "validation": math.exp(scores[row])})
    return table


def mean_distances(
    model: Pool, batch: Batch, streams: RandomStreams
) -> Iterator[tuple[Float[Tensor, " part"], Float[Tensor, "part part"]]]:
    """Yield a and b for each step of a batch, as means over its data and the scored cells."""
    weight = scored_weight(model.space, batch)
    drawn_by_part = (
        # each part has its own member numbers, as in the pool: otherwise networks of one architecture share noise
        drawn_states(
            part,
            with_history_of(part, batch.context),
            batch,
            replace(streams, first=number * streams.members),
        )
        for number, part in enumerate(model.parts.values())
    )
    for drawn in zip(*drawn_by_part, strict=True):
        members, truth = [x for x, _ in drawn], drawn[0][1]
        scale = weight.expand_as(truth).sum()
        a = [distance(x, truth[:, None], weight) / scale for x in members]
        b = [[distance(x, y, weight, same=x is y) / scale for y in members] for x in members]
        yield torch.stack(a), torch.stack([torch.stack(row) for row in b])


def distance(x: Tensor, y: Tensor, weight: Tensor, same: bool = False) -> Float[Tensor, ""]:
    """Weighted sum over data and cells of the mean |x_i - y_j| over pairs of members, of distinct ones if `same`."""
    total = sum(((x - y[:, [j]]).abs().sum(dim=1) * weight).sum().double() for j in range(y.shape[1]))
    pairs = x.shape[1] * (x.shape[1] - 1 if same else y.shape[1])
    return torch.as_tensor(total / max(pairs, 1), dtype=torch.double)


def compositions(parts: int) -> Float[Tensor, "composition part"]:
    """All weights of `parts` parts that are multiples of 1 / STEPS and add up to 1."""
    bars = combinations(range(STEPS + parts - 1), parts - 1)
    edges = torch.tensor([(-1, *bar, STEPS + parts - 1) for bar in bars])
    return (edges.diff(dim=1) - 1).double() / STEPS
