"""Choices made on the validation split: coordinate search over a model's `choices`.

The score is the mean over fractions k of the logarithm of the fair CRPS on unobserved cells: a gain of one per cent
counts the same where little and where much is observed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from fieldcast.loops.options import Fit
from fieldcast.loops.tasks import Task
from fieldcast.models.core import Batch, Model
from fieldcast.models.crps import fair_crps
from fieldcast.models.draws import Draws

MEMBERS = 8
FRACTIONS = 0.02, 0.05, 0.1, 0.2
STEP = 2**30  # of the draws: no training or validation step has this number


@torch.no_grad()
def tune(model: Model, task: Task, options: Fit, seed: int) -> list[dict[str, Any]]:
    """Choose, one after the other, the best value of each of `model.choices`; returns a row for each trial.

    A model without choices is scored as it is.
    """
    batches = validation_batches(task, options, seed)
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


def validation_batches(task: Task, options: Fit, seed: int) -> list[tuple[Batch, Draws]]:
    """Evenly spaced validation states, shared out among the fractions; one mask a fraction."""
    device, size = task.space.area.device, max(1, options.tuning // len(FRACTIONS))
    index = np.unique(
        np.linspace(0, len(task) - 1, min(size * len(FRACTIONS), len(task))).round().astype(np.int64)
    )
    batches = []
    for number, k in enumerate(FRACTIONS):
        rows = torch.from_numpy(index[number :: len(FRACTIONS)]).to(device)
        if len(rows):
            draws = Draws(seed, rows, MEMBERS, STEP + number)
            batches.append((task.batch(rows, draws, shared_mask=True, k=k), draws))
    return batches


def score(model: Model, batch: Batch, draws: Draws) -> float:
    """log of the area-weighted fair CRPS on unobserved cells."""
    members = 1 if model.deterministic else draws.members
    x = model.sample(batch.context, Draws(draws.seed, draws.datum, members, draws.step))
    if batch.context.mask is None:
        raise ValueError("a model is tuned on what was observed")
    weight = model.space.area * (model.space.exists & ~batch.context.mask)
    crps = fair_crps(x, batch.x)
    return float(torch.log((crps * weight).sum() / weight.sum()))
