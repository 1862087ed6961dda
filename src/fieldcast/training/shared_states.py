"""Data of a training that its ranks share: tensors that are sent to another process move to shared memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fieldcast.errors import InputError
from fieldcast.training.batches import Batches

T = TypeVar("T")
SHARED_MEMORY = Path("/dev/shm")


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


def tensors_of(value: Any) -> Iterator[Tensor]:
    """The tensors of a record."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name))


def require_shared_memory(*batches: Batches) -> None:
    """Raise an InputError if the states do not fit into the shared memory of the system: writing there would crash."""
    if not SHARED_MEMORY.exists():
        return
    needed = sum(x.nbytes for part in batches for x in tensors_of(part) if not x.is_shared())
    free = shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise InputError(
            f"the states of this training take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in "
            f"{SHARED_MEMORY}, through which ranks share them: set fit.data to stream, fit.ranks to 1, or enlarge it."
        )
