"""Fit the weights of a pool, which minimise the CRPS of the mixture on validation states.

    CRPS(sum_i w_i p_i, y) = sum_i w_i a_i - sum_ij w_i w_j b_ij / 2,    a_i = E|x_i - y|,  b_ij = E|x_i - x_j'|,

with independent draws x_i and x_j' of the parts i and j (Gneiting and Raftery 2007, eq. 21, for a mixture). One
rollout of each part therefore gives the score of every pool. As in `tuning`, the logarithm of the score is averaged
over fractions or lead times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.core import Batch
from fieldcast.models.pool import Pool, with_history_of
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.tuning import drawn_states, scored_weight

STEPS = 20  # weights are multiples of a twentieth: ensembles have ten or twenty members


@torch.no_grad()
def tune_weights(model: Pool, trials: Sequence[tuple[Batch, RandomStreams]]) -> list[dict[str, Any]]:
    """Set the best weights, and return the scores of each part alone and, in the last row, of the pool.

    Without trials the weights stay as they are.

    Raises
    ------
    InputError
        If the draws of a part are not finite, because all weights would then have the same score.
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
    model: Pool, batch: Batch, draws: RandomStreams
) -> Iterator[tuple[Float[Tensor, " part"], Float[Tensor, "part part"]]]:
    """Yield a and b for each step of a batch, as means over its data and the scored cells."""
    weight = scored_weight(model.space, batch)
    drawn_by_part = (
        # each part has its own member numbers, as in the pool: otherwise networks of one architecture share noise
        drawn_states(
            part, with_history_of(part, batch.context), batch, replace(draws, first=number * draws.members)
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
