"""Evenly spaced indices as tensors."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from fieldcast.even_spacing import evenly_spaced_indices


def evenly(length: int, count: int) -> Int[Tensor, " index"]:
    """Evenly spaced indices of a sequence of some length, at most `count` of them."""
    return torch.from_numpy(evenly_spaced_indices(length, count))
