"""Wasserstein-1 distance between the two empirical distributions of each cell, for two sets of maps."""

from __future__ import annotations

from math import prod

import numpy as np
from jaxtyping import Float

CELLS_IN_MEMORY = 1024  # cells that are sorted at a time


def cell_wasserstein(
    samples: Float[np.ndarray, "n *cell"], real: Float[np.ndarray, "m *cell"]
) -> Float[np.ndarray, "*cell"]:
    """Distance W_1 = ∫_0^1 |F⁻¹(u) - G⁻¹(u)| du of every cell's samples and real values, in the units of both, float64.

    The quantile functions of n and m values are constant between the levels i/n and j/m: the integral is a sum of
    at most n + m - 1 terms. NaN where a cell has a NaN. Positive at finite n and m even for equal distributions:
    compare with the distance of other real states.
    """
    n, m = len(samples), len(real)
    # levels in units of 1/(n m): integers, so that rounding splits none in two
    levels = np.union1d(m * np.arange(1, n + 1), n * np.arange(1, m + 1))
    widths = np.diff(levels, prepend=0) / (n * m)
    of_samples, of_real = (levels - 1) // m, (levels - 1) // n
    shape = samples.shape[1:]
    x, y = samples.reshape(n, prod(shape)), real.reshape(m, prod(shape))
    distance = np.empty(x.shape[1])
    for first in range(0, len(distance), CELLS_IN_MEMORY):
        cells = slice(first, first + CELLS_IN_MEMORY)
        ordered = [
            np.sort(values[:, cells].astype(float), axis=0) for values in (x, y)
        ]  # NaN goes last and stays
        distance[cells] = widths @ np.abs(ordered[0][of_samples] - ordered[1][of_real])
    return distance.reshape(shape)
