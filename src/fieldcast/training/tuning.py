"""Tuning on the validation split: coordinate search over a model's `choices`.

The score is the mean, over fractions k or over lead times and pieces of the split, of the logarithm of the fair CRPS on
unobserved cells: a gain of one percent counts the same whether few or many values are observed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.inference.forecasts.ensemble import rollout
from fieldcast.models.core import Batch, Context, Model
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space
from fieldcast.training.batches import Batches
from fieldcast.training.options import Fit

LOG = logging.getLogger(__name__)


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
