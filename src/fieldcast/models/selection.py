"""Selections of evenly spaced data."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


def evenly(length: int, count: int) -> Int[Tensor, " place"]:
    """Evenly spaced places among `length`, at most `count` of them."""
    return torch.from_numpy(
        np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64))
    )
