"""The kernel distance of two sets of features, KID (Bińkowski et al. 2018, arXiv:1801.01401): unbiased, so that small
sets have no head start or handicap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

SUBSETS = 100
SIZE = 1000
SHARE = 4  # a subset is at most a quarter of either set: subsets that are nearly the whole are all equal


class KernelDistance(NamedTuple):
    """Mean and standard deviation over subsets of `size` rows."""

    mean: float
    sd: float
    size: int
    rows: int  # of the smaller set

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean, as if rows were independent: mean ± 1.96 sd √(f/(1 - f)), f = size/rows.

        Subsets of one set overlap, so that they vary by 1 - f of the variance that new data of their size have,
        which falls with 1/rows (subsampling: Politis, Romano and Wolf 1999); too wide where the laws are equal,
        since the variance then falls with the square. NaN where no subset is smaller than its set.
        """
        share = self.size / self.rows
        if share >= 1:
            return float("nan"), float("nan")
        half = 1.96 * self.sd * np.sqrt(share / (1 - share))
        return self.mean - half, self.mean + half


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
        return KernelDistance(float("inf"), float("nan"), size, rows)
    if rows < 2:
        return KernelDistance(float("nan"), float("nan"), size, rows)
    x, y = x.astype(float), y.astype(float)
    rng = np.random.default_rng([seed, len(x), len(y), size])
    found = [
        unbiased_mmd2(
            x[rng.choice(len(x), size, replace=False)],
            y[rng.choice(len(y), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(found)), float(np.std(found)), size, rows)


def unbiased_mmd2(x: Float[np.ndarray, "m feature"], y: Float[np.ndarray, "m feature"]) -> float:
    """1/(m(m - 1)) Σ_{i≠j} [k(x_i, x_j) + k(y_i, y_j)] - 2/m² Σ_ij k(x_i, y_j), k(x, y) = (x·y/d + 1)³ with d
    features: the unbiased square of the maximum mean discrepancy (Gretton et al. 2012, eq. 3)."""
    m = len(x)
    within = sum(k.sum() - np.trace(k) for k in (kernel(x, x), kernel(y, y)))
    return float(within / (m * (m - 1)) - 2 * kernel(x, y).mean())


def kernel(x: Float[np.ndarray, "n feature"], y: Float[np.ndarray, "m feature"]) -> Float[np.ndarray, "n m"]:
    """k(x, y) = (x·y/d + 1)³ of all pairs."""
    return (x @ y.T / x.shape[1] + 1) ** 3
