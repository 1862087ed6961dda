"""A pooled ensemble: members of several fitted models in one ensemble, each member drawn by one of them.

    p(x | c) = sum_i w_i p_i(x | c),    w_i >= 0,  sum_i w_i = 1.

Equally good models with different errors are better together (Hagedorn, Doblas-Reyes and Palmer 2005, "The rationale
behind the success of multi-model ensembles in seasonal forecasting"): the mean of the pool is closer to the truth than
that of any part, and the distance between the parts adds the spread that each of them lacks. In a rollout a member
remains with its part, so that it keeps the dynamics of one model.

The members of a pool are not exchangeable, because their numbers are fixed shares. The fair CRPS, whose correction for
M members assumes exchangeable ones, is therefore below the CRPS of the mixture, by a share 1 / (M - 1) of the
difference between the mean CRPS of the parts, sum_i w_i CRPS_i, and that of the mixture. `training/tuning.py`
tunes the weights by the CRPS of the mixture itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.models.core import Combined, Context, Model
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


def shares(weights: Float[Tensor, " part"], members: int) -> Int[Tensor, " member"]:
    """Index of the part that draws each member.

    Member k goes to the part whose number of members is furthest below w_i (k + 1). So the first M members, for every
    M, are divided among the parts by their weights: for two parts exactly as by the method of the largest remainder. A
    member has the same part whatever the size of its ensemble.
    """
    numbers = torch.zeros(len(weights), dtype=torch.double)
    w, part_of = weights.double().cpu(), []
    for k in range(members):
        part_of.append(int((w * (k + 1) - numbers).round(decimals=9).argmax()))  # ties go to the first part
        numbers[part_of[-1]] += 1
    return torch.tensor(part_of, device=weights.device)


class Pool(Combined):
    """The mixture of fitted models; see the module for the equation.

    Member k of the pool is member k of the ensemble that its part would draw alone.

    Parameters
    ----------
    space
        Grid of the states.
    parts
        The fitted models by name, see `Combined`.
    """

    weights: Tensor

    def __init__(self, space: Space, parts: Mapping[str, Model]):
        super().__init__(space, parts)
        models = list(parts.values())
        self.register_buffer("weights", torch.full((len(models),), 1 / len(models)))
        self.deterministic = len(models) == 1 and models[0].deterministic
        self.omits_noise = any(model.omits_noise for model in models)
        self.accepts_points = all(model.accepts_points for model in models)
        self.learns_from_gaps = all(model.learns_from_gaps for model in models)

    def tuned_values(self) -> dict[str, float]:
        """The weight of each part."""
        return dict(zip(self.parts, self.weights.tolist(), strict=True))

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        numbers = streams.numbers
        part_of = shares(self.weights, int(numbers.max()) + 1)[numbers]  # (B, M)
        x = self.weights.new_empty(*part_of.shape, *self.space.state_shape)
        by_row = streams.members == 1  # in a rollout, rows are members
        for number, model in enumerate(self.parts.values()):
            index = (part_of[:, 0] if by_row else part_of[0]).eq(number).nonzero()[:, 0]
            if len(index) and by_row:
                x[index] = model.sample(with_history_of(model, c)[index], streams.of_data(index))
            elif len(index):
                x[:, index] = model.sample(with_history_of(model, c), streams.of_members(index))
        return x


def with_history_of(model: Model, c: Context) -> Context:
    """The context with as many past states as a model reads."""
    if c.past is None:
        return c
    return replace(c, past=c.past[:, -model.history :] if model.history else None)
