"""The devices of a run, and replicas of a model on several, which draw at once, each for a share of the contexts.

A draw is a function of seed, datum and member (`random_streams`), so its random numbers do not depend on how the
contexts are divided; states agree up to rounding that depends on the batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast import arguments
from fieldcast.errors import InputError
from fieldcast.models.core import Context, Model, Terms
from fieldcast.models.random_streams import RandomStreams

M = TypeVar("M", bound=Model)
T = TypeVar("T")


def choose_device(name: str) -> torch.device:
    """The device of this name; "auto" is the GPU if there is one, else the CPU."""
    arguments.text(name, "device", "auto")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):
        available = "auto, cpu or cuda" if torch.cuda.is_available() else "auto or cpu"
        raise InputError(f"device '{name}' is not available here: set device to {available}.") from None


def choose_devices(name: str) -> list[torch.device]:
    """The devices that draw in parallel: all GPUs, if there are any, for "auto" and "cuda"; else the named device."""
    device = choose_device(name)
    if device.type == "cuda" and name in ("auto", "cuda"):
        return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return [device]


def replicate(model: M, devices: Sequence[torch.device]) -> M:
    """Move a model to the first of several devices, with a replica on each of the others."""
    model = model.to(devices[0])
    model.replicas = ()  # otherwise they would be copied, too
    model.replicas = [deepcopy(model).to(device) for device in devices[1:]]
    return model


def draw(model: Model, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
    """M draws for each context, by the model and its replicas side by side."""
    if is_alone(model, c.count):
        return draws_of(model, model.sample(c, streams), c.count, streams.members)

    def of_share(model: Model, share: slice) -> tuple[Tensor, int]:
        device = model.space.area.device
        share_streams, context = move_to(streams.of_data(share), device), move_to(c[share], device)
        x = draws_of(model, model.sample(context, share_streams), share.stop - share.start, streams.members)
        return x, share_streams.call

    shares = by_share(model, c.count, of_share)
    streams.call = shares[0][1]  # the state of `streams` after drawing everything itself
    return torch.cat([x.to(model.space.area.device) for x, _ in shares])


def is_alone(model: Model, count: int) -> bool:
    """Whether a model handles `count` data without replicas."""
    return count == 1 or not model.replicas


def by_share(model: M, count: int, work: Callable[[M, slice], T]) -> list[T]:
    """Results of a model and its replicas, side by side, each for a share of `count` data."""
    models = [model, *model.replicas][:count]
    ends = [count * number // len(models) for number in range(len(models) + 1)]
    shares = [slice(a, b) for a, b in pairwise(ends)]
    has_gradient = torch.is_grad_enabled()

    def with_gradient_as_here(model: M, share: slice) -> T:
        with torch.set_grad_enabled(has_gradient):  # the setting is local to each thread
            return work(model, share)

    with ThreadPoolExecutor(len(models)) as threads:
        return list(threads.map(with_gradient_as_here, models, shares))


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


# Checks of the return values of model methods, with messages that name the class and the method.


def draws_of(model: Model, x: Any, count: int, members: int) -> Tensor:
    """Return the draws of `sample` for `count` contexts."""
    shape = count, members, *model.space.state_shape
    if not isinstance(x, Tensor) or x.shape != shape:
        returned = f"a tensor {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise InputError(
            f"{type(model).__name__}.sample returns {returned}: it must return a tensor (B, M, V, Y, X) = {shape}, "
            "with M = draws.members."
        )
    return x


def terms_of(model: Model, terms: Any) -> Terms:
    """Return the result of `loss`."""
    returned = f"a {type(terms).__name__}"
    if isinstance(terms, Terms) and isinstance(terms.total, Tensor):
        if terms.total.ndim == 0 and terms.total.requires_grad:
            return terms
        total = f"a total {tuple(terms.total.shape)}" if terms.total.ndim else "a total without a gradient"
        returned = f"Terms with {total}"
    raise InputError(
        f"{type(model).__name__}.loss returns {returned}: it must return Terms(total, parts) of fieldcast.models.core, "
        "total the mean over the batch as one number with a gradient, parts a mapping of numbers to be plotted."
    )
