"""Choices made on the validation split: coordinate search over a model's `choices`.

The score is the mean, over fractions k or over lead times, of the logarithm of the fair CRPS on unobserved cells: a
gain of one per cent counts the same where little and where much is known.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from fieldcast.inference.rollout import rollout
from fieldcast.models.core import Batch, Model
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.batches import Batches
from fieldcast.training.options import Fit


@torch.no_grad()
def tune(model: Model, task: Batches, options: Fit, seed: int) -> list[dict[str, Any]]:
    """Choose, one after the other, the best value of each of `model.choices`; returns a row for each trial.

    A model without choices is scored as it is.
    """
    batches = task.trials(options.tuning, seed)
    trials: dict[tuple[float, ...], float] = {}
    rows: list[dict[str, Any]] = []

    def trial() -> float:
        values = tuple(model.chosen().values())
        if values not in trials:
            trials[values] = np.mean([score(model, batch, draws) for batch, draws in batches])
            rows.append({"step": len(rows), **model.chosen(), "validation": math.exp(trials[values])})
        return trials[values]

    trial()
    for name, values in model.choices.items():
        results = []
        for value in values:
            model.choose(**{name: value})
            results.append(trial())
        model.choose(**{name: values[int(np.argmin(np.nan_to_num(results, nan=np.inf)))]})
    return rows


def score(model: Model, batch: Batch, draws: RandomStreams) -> float:
    """log of the area-weighted fair CRPS: on unobserved cells, or the mean over the steps of a rollout."""
    members = 1 if model.deterministic else draws.members
    own = RandomStreams(draws.seed, draws.datum, members, draws.step)
    weight = model.space.area * model.space.exists
    if batch.x.ndim == 5:
        rows = batch.context.repeat(members)
        steps = rollout(model, rows, own, batch.x.shape[1])
        pairs = [(x, truth) for (x, _), truth in zip(steps, batch.x.unbind(1), strict=True)]
    else:
        pairs = [(model.sample(batch.context, own), batch.x)]
        if batch.context.mask is not None:
            weight = weight * ~batch.context.mask
    logs = []
    for x, truth in pairs:
        crps = fair_crps(x, truth)
        logs.append(torch.log((crps * weight).sum() / weight.expand_as(crps).sum()))
    return float(torch.stack(logs).mean())
