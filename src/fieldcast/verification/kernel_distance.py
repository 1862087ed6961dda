"""The kernel distance of two sets of features, KID (Bińkowski et al. 2018, arXiv:1801.01401): unbiased, so that small
sets have no head start or handicap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

SUBSETS = 100
SIZE = 1000
SHARE = 4  # a subset is at most a quarter of either set: subsets that are nearly the whole are all equal
INFINITE, NONE = float("inf"), float("nan")


class KernelDistance(NamedTuple):
    """Mean and standard deviation over subsets of `size` rows, and the standard error of the mean."""

    mean: float
    sd: float
    error: float
    size: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean, ± 1.96 errors. Of rows that are alike, as days are, it is too narrow."""
        return self.mean - 1.96 * self.error, self.mean + 1.96 * self.error


def kernel_distance(
    x: Float[np.ndarray, "n feature"],
    y: Float[np.ndarray, "m feature"],
    *,
    subsets: int = SUBSETS,
    size: int = SIZE,
    seed: int = 0,
) -> KernelDistance:
    """Mean and standard deviation of `unbiased_mmd2` over seeded subsets of both sets, drawn without repetition.

    A subset has `size` rows, or a quarter of the smaller set where that is less, and at least 2. May be negative,
    and is 0 on average for two sets of one law. Infinite where a feature is not finite, NaN of less than 2 rows.
    """
    rows = min(len(x), len(y))
    size = max(2, min(size, rows // SHARE))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return KernelDistance(INFINITE, NONE, NONE, size)
    if rows < 2:
        return KernelDistance(NONE, NONE, NONE, size)
    x, y = x.astype(float), y.astype(float)
    rng = np.random.default_rng([seed, len(x), len(y), size])
    found = [
        unbiased_mmd2(
            x[rng.choice(len(x), size, replace=False)],
            y[rng.choice(len(y), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(found)), float(np.std(found)), jackknife_error(x, y), size)


def jackknife_error(x: Float[np.ndarray, "n feature"], y: Float[np.ndarray, "m feature"]) -> float:
    """Standard error of the distance of all rows: √Σ (θ_(-i) - mean θ_(-i))² (n - 1)/n, for x and y together, with
    θ_(-i) the distance without row i (Efron and Stein 1981, doi:10.1214/aos/1176345462).

    √2 too large where the laws are equal, since the distance then varies with the square of rows alone. NaN of
    less than 3 rows.
    """
    n, m = len(x), len(y)
    if min(n, m) < 3:
        return NONE
    variance = 0.0
    for one, other in ((x, y), (y, x)):
        rows = len(one)
        within = row_sums(one, one) - ((one**2).mean(1) + 1) ** 3  # without k(x_i, x_i)
        across = row_sums(one, other)
        # what depends on the row that is left out
        theta = (within.sum() - 2 * within) / ((rows - 1) * (rows - 2))
        theta -= 2 * (across.sum() - across) / ((rows - 1) * len(other))
        variance += theta.var() * (rows - 1)
    return float(np.sqrt(variance))


def row_sums(x: Float[np.ndarray, "n feature"], y: Float[np.ndarray, "m feature"]) -> Float[np.ndarray, " n"]:
    """Σ_j k(x_i, y_j), some rows at a time."""
    parts = [kernel(x[first : first + SIZE], y).sum(1) for first in range(0, len(x), SIZE)]
    return np.concatenate(parts)


def unbiased_mmd2(x: Float[np.ndarray, "m feature"], y: Float[np.ndarray, "m feature"]) -> float:
    """1/(m(m - 1)) Σ_{i≠j} [k(x_i, x_j) + k(y_i, y_j)] - 2/m² Σ_ij k(x_i, y_j), k(x, y) = (x·y/d + 1)³ with d
    features: the unbiased square of the maximum mean discrepancy (Gretton et al. 2012, eq. 3)."""
    m = len(x)
    within = sum(k.sum() - np.trace(k) for k in (kernel(x, x), kernel(y, y)))
    return float(within / (m * (m - 1)) - 2 * kernel(x, y).mean())


def kernel(x: Float[np.ndarray, "n feature"], y: Float[np.ndarray, "m feature"]) -> Float[np.ndarray, "n m"]:
    """k(x, y) = (x·y/d + 1)³ of all pairs."""
    return (x @ y.T / x.shape[1] + 1) ** 3
