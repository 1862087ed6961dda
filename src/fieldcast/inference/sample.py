"""Draws of states as tensors, and as data sets."""

from __future__ import annotations

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast.encoding.states import StateCodec
from fieldcast.models.core import Context, Model
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.replicas import draw
from fieldcast.models.space import Space
from fieldcast.progress import Progress

DRAWS_AT_ONCE = 64  # number of states in one batch on a device, which bounds the memory


@torch.no_grad()
def draw_states(model: Model, count: int, seed: int) -> Float[Tensor, "draw variable y x"]:
    """`count` draws of x; they do not depend on how many are drawn at once."""
    x = torch.empty(count, *model.space.state_shape)
    batches = torch.arange(count, device=model.space.area.device).split(
        DRAWS_AT_ONCE * (1 + len(model.replicas))
    )
    for index in Progress(batches, unit="part"):
        x[index.cpu()] = draw(model, Context(len(index)), RandomStreams(seed, index))[:, 0].float().cpu()
    return x


def physical_states(space: Space, codec: StateCodec, x: Float[Tensor, "draw variable y x"]) -> xr.Dataset:
    """States in physical units or grey values; cells that do not exist are NaN."""
    return codec.decode(x.float().cpu().masked_fill(~space.exists.cpu(), torch.nan))
