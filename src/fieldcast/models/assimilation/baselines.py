"""Baselines of a cycle: filters that leave out the update, or the forecast."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.assimilation.filter import CycleState, Filter, Members, Memory, Step
from fieldcast.models.capabilities import HasSeason
from fieldcast.models.core import Context, Model
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.replicas import draw


class FreeRun(Filter):
    """Forecasts without observations: each member continues its own past."""

    needs_finite = False

    def update(
        self, background: Members, c: Context, memory: Memory, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        return background, memory


class EachStep(Filter):
    """Reconstructs each time from its observations alone; the background is the climatology.

    The background members are the model's states of the season, or all 0 for a model without them.

    Parameters
    ----------
    model
        p(x | y) at a single time.
    """

    needs_forecast = False

    def __init__(self, model: Model):
        super().__init__(model.space)
        self.model, self.deterministic = model, model.deterministic

    def background(
        self, state: CycleState, day: Float[Tensor, " batch"], forecast: Step, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        if isinstance(self.model, HasSeason):
            return self.model.season(Context(len(day), day=day), streams), state.memory
        return torch.zeros_like(state.past[:, :, -1]), state.memory

    def update(
        self, background: Members, c: Context, memory: Memory, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        return draw(self.model, c, streams), memory
