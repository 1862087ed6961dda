"""Replicas of a model on several devices, which draw at the same time, each for a share of the contexts.

A draw is a function of seed, datum and member (`random_streams`), so its random numbers do not depend on the share in
which it falls; states agree up to the rounding of batches of another size.
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
    model.replicas = ()  # or they would be copied, too
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
    places = [each.space.area.device for each in models]
    streams = [moved(draws.of_data(share), place) for share, place in zip(shares, places, strict=True)]
    contexts = [moved(c[share], place) for share, place in zip(shares, places, strict=True)]
    has_gradient = torch.is_grad_enabled()

    def of_share(model: Model, c: Context, draws: RandomStreams) -> Tensor:
        with torch.set_grad_enabled(has_gradient):  # which each thread decides for itself
            return draws_of(model, model.sample(c, draws), c.count, draws.members)

    with ThreadPoolExecutor(len(models)) as threads:
        parts = list(threads.map(of_share, models, contexts, streams))
    draws.call = streams[0].call  # as if it had drawn all of them
    return torch.cat([part.to(places[0]) for part in parts])


def moved(value: T, device: torch.device) -> T:
    """A record with all its tensors on a device."""
    if isinstance(value, nn.Module):
        return deepcopy(value).to(device)  # which moves it in place
    if isinstance(value, Tensor):
        return value.to(device)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    parts = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    return replace(value, **{name: moved(part, device) for name, part in parts.items()})
