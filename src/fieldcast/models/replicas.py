"""Replicas of a model on several devices, which draw at the same time, each for a share of the contexts.

A draw is a function of seed, datum and member (`random_streams`), so its random numbers do not depend on how the
contexts are divided; states agree up to rounding that depends on the batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.models.core import Context, Model
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.returned import draws_of

M = TypeVar("M", bound=Model)
T = TypeVar("T")


def replicate(model: M, devices: Sequence[torch.device]) -> M:
    """Move a model to the first of several devices, with a replica on each of the others."""
    model = model.to(devices[0])
    model.replicas = ()  # otherwise they would be copied, too
    model.replicas = [deepcopy(model).to(device) for device in devices[1:]]
    return model


def draw(model: Model, c: Context, draws: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
    """M draws for each context, by the model and its replicas side by side.

    Raises
    ------
    InputError
        As `returned.draws_of`.
    """
    models = [model, *model.replicas][: c.count]
    if len(models) == 1:
        return draws_of(model, model.sample(c, draws), c.count, draws.members)
    ends = [c.count * number // len(models) for number in range(len(models) + 1)]
    shares = [slice(a, b) for a, b in pairwise(ends)]
    devices = [model.space.area.device for model in models]
    streams = [move_to(draws.of_data(share), device) for share, device in zip(shares, devices, strict=True)]
    contexts = [move_to(c[share], device) for share, device in zip(shares, devices, strict=True)]
    has_gradient = torch.is_grad_enabled()

    def of_share(model: Model, c: Context, draws: RandomStreams) -> Tensor:
        with torch.set_grad_enabled(has_gradient):  # the setting is local to each thread
            return draws_of(model, model.sample(c, draws), c.count, draws.members)

    with ThreadPoolExecutor(len(models)) as threads:
        results = list(threads.map(of_share, models, contexts, streams))
    draws.call = streams[0].call  # the state of `draws` after drawing everything itself
    return torch.cat([x.to(devices[0]) for x in results])


def move_to(value: T, device: torch.device) -> T:
    """Copy a dataclass with all its tensors to a device."""
    if isinstance(value, nn.Module):
        return deepcopy(value).to(device)  # a copy, because `to` moves a module in place
    if isinstance(value, Tensor):
        return value.to(device)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    values = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    return replace(value, **{name: move_to(part, device) for name, part in values.items()})
