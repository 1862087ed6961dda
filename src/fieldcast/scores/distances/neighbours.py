"""The nearest training state of each state: a sample much closer to one than test states are is a copy."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Integer

BLOCK = 2048  # states in memory at a time: a table of BLOCK² distances, 16 MB


@runtime_checkable
class Store(Protocol):
    """Rows that are had some at a time: an array, a map of a file, or what makes them when asked."""

    def __len__(self) -> int: ...

    def __getitem__(
        self, places: slice | Integer[np.ndarray, " row"], /
    ) -> Float[np.ndarray, "row column"]: ...


class Neighbours(NamedTuple):
    """Of each state, how far its nearest training state is, and which it is."""

    distance: Float[np.ndarray, " state"]
    index: Integer[np.ndarray, " state"]


def neighbours(states: Float[np.ndarray, "state cell"], training: Store) -> Neighbours:
    """min_j √(mean over cells of (x - t_j)²): 1 is one standard deviation, if the cells are standardised.

    Only cells that exist may be given, each as much as the next (multiply both by √area for weights of area).
    Distances are compared through products, ‖t‖² - 2 x·t, and that of the nearest is taken anew from differences:
    an exact copy is at 0, not at the rounding error of the products. Infinite, with index -1, where a state is not
    finite.
    """
    distance = np.full(len(states), np.inf)
    index = np.full(len(states), -1)
    sound = np.flatnonzero(np.isfinite(states).all(1))
    for first in range(0, len(sound), BLOCK):
        chosen = sound[first : first + BLOCK]
        x = states[chosen].astype(np.float32)
        index[chosen] = nearest(x, training)
        difference = x - training[index[chosen]]
        distance[chosen] = np.sqrt((difference.astype(float) ** 2).mean(1))
    return Neighbours(distance, index)


def nearest(x: Float[np.ndarray, "state cell"], training: Store) -> Integer[np.ndarray, " state"]:
    """Index of the nearest training state, block by block."""
    shortest = np.full(len(x), np.inf)
    index = np.full(len(x), -1)
    rows = np.arange(len(x))
    for first in range(0, len(training), BLOCK):
        t = training[first : first + BLOCK].astype(np.float32)
        square = (t**2).sum(1) - 2 * (x @ t.T)  # and ‖x‖², which is the same for all
        closest = square.argmin(1)
        closer = square[rows, closest] < shortest
        shortest[closer] = square[rows, closest][closer]
        index[closer] = first + closest[closer]
    return index
