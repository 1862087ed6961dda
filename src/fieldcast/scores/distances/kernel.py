"""The kernel distance of two sets of features, KID (Bińkowski et al. 2018, arXiv:1801.01401), whose
estimate is unbiased at any size of the sets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

SUBSETS = 100
SUBSET_SIZE = 1000
MIN_SUBSETS_PER_SET = 4  # a subset is at most a quarter of either set: larger ones are nearly equal
MIN_BLOCKS = 3  # blocks that an estimate of the standard error needs
INFINITY, UNDEFINED = float("inf"), float("nan")


class KernelDistance(NamedTuple):
    """Mean and standard deviation over subsets of `size` rows, and the standard error of the distance of all rows."""

    mean: float
    sd: float
    error: float
    size: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean, ± 1.96 errors."""
        return self.mean - 1.96 * self.error, self.mean + 1.96 * self.error


def kernel_distance(
    x: Float[np.ndarray, "n feature"],
    y: Float[np.ndarray, "m feature"],
    *,
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
    seed: int = 0,
    blocks: Integer[np.ndarray, " m"] | None = None,
    error: bool = True,
) -> KernelDistance:
    """Mean and standard deviation of `unbiased_mmd2` over seeded subsets of both sets, drawn without repetition.

    A subset has `size` rows, or a quarter of the smaller set where that is less, and at least 2. The distance may be
    negative, and is 0 on average for independent rows from one distribution. It is infinite where a feature is not
    finite and NaN for fewer than 2 rows. `blocks` numbers rows of y that are correlated, such as neighbouring days;
    the error, which takes all pairs of rows, can be left out.
    """
    smaller = min(len(x), len(y))
    size = max(2, min(size, smaller // MIN_SUBSETS_PER_SET))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return KernelDistance(INFINITY, UNDEFINED, UNDEFINED, size)
    if smaller < 2:
        return KernelDistance(UNDEFINED, UNDEFINED, UNDEFINED, size)
    x, y = x.astype(float), y.astype(float)
    rng = np.random.default_rng([seed, len(x), len(y), size])
    distances = [
        unbiased_mmd2(
            x[rng.choice(len(x), size, replace=False)],
            y[rng.choice(len(y), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    spread = jackknife_error(x, y, blocks) if error else UNDEFINED
    return KernelDistance(float(np.mean(distances)), float(np.std(distances)), spread, size)


def jackknife_error(
    x: Float[np.ndarray, "n feature"],
    y: Float[np.ndarray, "m feature"],
    blocks: Integer[np.ndarray, " m"] | None = None,
) -> float:
    """Standard error of the distance of all rows: √Σ (θ_(-b) - mean θ_(-b))² (B - 1)/B, for x and y together, with
    θ_(-b) the distance without block b of B (Efron and Stein 1981, doi:10.1214/aos/1176345462; for blocks of
    correlated rows Künsch 1989, doi:10.1214/aos/1176347265). Each row of x is its own block, and so is each row of y
    without `blocks`.

    It is √2 too large for equal distributions, where the distance varies with the square of rows alone, and NaN for
    fewer than 3 blocks.
    """
    variance = 0.0
    for a, b, names in ((x, y, None), (y, x, blocks)):
        block = np.arange(len(a)) if names is None else np.unique(names, return_inverse=True)[1]
        remaining = len(a) - np.bincount(block)  # rows without each block
        if len(remaining) < MIN_BLOCKS:
            return UNDEFINED
        self_kernel = ((a**2).mean(1) + 1) ** 3
        within, across = row_sums(a, a) - self_kernel, row_sums(a, b)  # without k(x_i, x_i)
        inside = within_blocks(a, block) - np.bincount(block, self_kernel)
        # up to terms that do not depend on the block that is left out
        theta = (within.sum() - 2 * np.bincount(block, within) + inside) / (remaining * (remaining - 1))
        theta -= 2 * (across.sum() - np.bincount(block, across)) / (remaining * len(b))
        variance += theta.var() * (len(remaining) - 1)
    return float(np.sqrt(variance))


def within_blocks(
    x: Float[np.ndarray, "n feature"], block: Integer[np.ndarray, " n"]
) -> Float[np.ndarray, " block"]:
    """Sum of k(x_i, x_j) over the rows i, j of each block, numbered from 0."""
    members = np.split(np.argsort(block, kind="stable"), np.cumsum(np.bincount(block))[:-1])
    return np.array([kernel(x[indices], x[indices]).sum() for indices in members])


def row_sums(x: Float[np.ndarray, "n feature"], y: Float[np.ndarray, "m feature"]) -> Float[np.ndarray, " n"]:
    """Sum of k(x_i, y_j) over j, computed for some rows at a time."""
    sums = [kernel(x[first : first + SUBSET_SIZE], y).sum(1) for first in range(0, len(x), SUBSET_SIZE)]
    return np.concatenate(sums)


def unbiased_mmd2(x: Float[np.ndarray, "m feature"], y: Float[np.ndarray, "m feature"]) -> float:
    """MMD² = 1/(m(m - 1)) Σ_{i≠j} [k(x_i, x_j) + k(y_i, y_j)] - 2/m² Σ_ij k(x_i, y_j), k(x, y) = (x·y/d + 1)³ with d
    features: the unbiased square of the maximum mean discrepancy (Gretton et al. 2012, eq. 3)."""
    m = len(x)
    within = sum(k.sum() - np.trace(k) for k in (kernel(x, x), kernel(y, y)))
    return float(within / (m * (m - 1)) - 2 * kernel(x, y).mean())


def kernel(x: Float[np.ndarray, "n feature"], y: Float[np.ndarray, "m feature"]) -> Float[np.ndarray, "n m"]:
    """Kernel k(x, y) = (x·y/d + 1)³ of all pairs."""
    return (x @ y.T / x.shape[1] + 1) ** 3
