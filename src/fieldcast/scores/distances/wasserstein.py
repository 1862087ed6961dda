"""How far two sets of maps are apart cell by cell: the Wasserstein-1 distance of each cell's two empirical laws."""

from __future__ import annotations

from math import prod

import numpy as np
from jaxtyping import Float

CELLS = 1024  # in memory at a time


def cell_wasserstein(
    samples: Float[np.ndarray, "n *cell"], real: Float[np.ndarray, "m *cell"]
) -> Float[np.ndarray, "*cell"]:
    """W_1 = ∫_0^1 |F⁻¹(u) - G⁻¹(u)| du of every cell's samples and real values, in the units of both, float64.

    The quantile functions of n and m values are constant between the levels i/n and j/m: the integral is a sum of
    at most n + m - 1 terms. NaN where a cell has a NaN. Positive at finite n and m even for one law: beside it
    belongs what other real states score.
    """
    n, m = len(samples), len(real)
    # the levels, in units of 1/(n m): whole numbers, so that none is split in two by rounding
    levels = np.union1d(m * np.arange(1, n + 1), n * np.arange(1, m + 1))
    widths = np.diff(levels, prepend=0) / (n * m)
    of_samples, of_real = (levels - 1) // m, (levels - 1) // n
    shape = samples.shape[1:]
    x, y = samples.reshape(n, prod(shape)), real.reshape(m, prod(shape))
    found = np.empty(x.shape[1])
    for first in range(0, len(found), CELLS):
        part = slice(first, first + CELLS)
        ordered = [np.sort(one[:, part].astype(float), axis=0) for one in (x, y)]  # NaN goes last and stays
        found[part] = widths @ np.abs(ordered[0][of_samples] - ordered[1][of_real])
    return found.reshape(shape)
