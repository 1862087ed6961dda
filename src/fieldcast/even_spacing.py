"""Evenly spaced indices."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def evenly_spaced_indices(length: int, count: int) -> Int[np.ndarray, " index"]:
    """Evenly spaced indices of a sequence of some length: the first, the last and others between, at most `count`."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64))
