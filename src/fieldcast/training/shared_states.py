"""Training data that the ranks share: tensors that are sent to another process move to shared memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.training.batches import Batches

T = TypeVar("T")
SHARED_MEMORY = Path("/dev/shm")  # absent on systems other than Linux


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of a dataclass, also of nested ones."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name))


def require_shared_memory(*batches: Batches) -> None:
    """Raise an InputError if the states do not fit into the shared memory of the system, where writing would crash."""
    if not SHARED_MEMORY.exists():
        return
    needed = sum(x.nbytes for part in batches for x in tensors_of(part) if not x.is_shared())
    free = shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise InputError(
            f"the states of this training take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in "
            f"{SHARED_MEMORY}, through which ranks share them: set fit.data to stream, fit.ranks to 1, or enlarge it."
        )
