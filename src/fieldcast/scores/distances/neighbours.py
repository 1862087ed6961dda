"""The nearest training state of each state: a sample that is much closer to one than test states are is a copy."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Integer

BLOCK = 2048  # states in memory at a time: a table of BLOCK² distances, 16 MB


@runtime_checkable
class Store(Protocol):
    """Rows that are read some at a time: an array, a memory map, or an object that computes them on demand."""

    def __len__(self) -> int: ...

    def __getitem__(
        self, indices: slice | Integer[np.ndarray, " row"], /
    ) -> Float[np.ndarray, "row column"]: ...


class Neighbours(NamedTuple):
    """Distance and index of the training state nearest to each state."""

    distance: Float[np.ndarray, " state"]
    index: Integer[np.ndarray, " state"]


def neighbours(states: Float[np.ndarray, "state cell"], training: Store) -> Neighbours:
    """Nearest training states by d(x) = min_j √(mean over cells of (x - t_j)²), in standard deviations if standardised.

    Only existing cells may be given; they have equal weight (multiply both sets by √area to weight by area).
    Distances are compared through products, ‖t‖² - 2 x·t, and the distance to the nearest is computed again from
    differences, so that an exact copy is at 0, not at the rounding error of the products. The distance is infinite
    and the index -1 where a state is not finite.
    """
    distance = np.full(len(states), np.inf)
    index = np.full(len(states), -1)
    finite = np.flatnonzero(np.isfinite(states).all(1))
    for first in range(0, len(finite), BLOCK):
        block = finite[first : first + BLOCK]
        x = states[block].astype(np.float32)
        index[block] = nearest(x, training)
        difference = x - training[index[block]]
        distance[block] = np.sqrt((difference.astype(float) ** 2).mean(1))
    return Neighbours(distance, index)


def nearest(x: Float[np.ndarray, "state cell"], training: Store) -> Integer[np.ndarray, " state"]:
    """Index of the nearest training state, block by block."""
    shortest = np.full(len(x), np.inf)
    index = np.full(len(x), -1)
    rows = np.arange(len(x))
    for first in range(0, len(training), BLOCK):
        t = training[first : first + BLOCK].astype(np.float32)
        square = (t**2).sum(1) - 2 * (x @ t.T)  # plus ‖x‖², which is the same for all
        closest = square.argmin(1)
        closer = square[rows, closest] < shortest
        shortest[closer] = square[rows, closest][closer]
        index[closer] = first + closest[closer]
    return index
