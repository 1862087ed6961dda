"""Distances between two sets of states or features.

The classifier two-sample test; Frechet's distance of two Gaussians (FID); the squared maximum mean discrepancy of a
cubic kernel (KID); the Wasserstein distance, cell by cell; the distance from each state to its nearest training state.
`set_scores` are those of samples from real states, of a perfect model and of noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
import xarray as xr
from jaxtyping import Float, Integer, Shaped

from fieldcast.scores.bootstrap import Score

if TYPE_CHECKING:
    from sklearn.ensemble import VotingClassifier

FOLDS = 5
Z = 1.96  # quantile of a standard normal, for 95 % intervals
FLOOR_SETS = 20  # sets of training states that stand for a perfect model


class TwoSample(NamedTuple):
    """Accuracy on rows that the classifier was not trained on, with a 95 % interval; 0.5 if it cannot separate them."""

    accuracy: float
    low: float
    high: float


def two_sample(
    x: Float[np.ndarray, "n feature"],
    y: Float[np.ndarray, "m feature"],
    *,
    blocks: Integer[np.ndarray, " m"] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> TwoSample:
    """Cross-validated accuracy of `classifier` on samples x against real states y.

    Both classes have equally many rows; surplus rows of the larger set are dropped at random. `blocks` numbers real
    states that are correlated because they are neighbours in time: no block is split between folds, or the classifier
    would have been trained on the weather that it is tested on; without `blocks` each row is its own. The interval is
    Wilson's, for the effective number of independent rows (`independent_rows`). The accuracy is 1 where a feature of x
    is not finite and NaN where a fold would have no real state.
    """
    if not np.isfinite(x).all():
        return TwoSample(1.0, 1.0, 1.0)
    rng = np.random.default_rng([seed, len(x), len(y)])
    blocks = np.arange(len(y)) if blocks is None else blocks
    size = min(len(x), len(y))
    x = x[rng.permutation(len(x))[:size]]
    selected = np.sort(rng.permutation(len(y))[:size])
    y, blocks = y[selected], blocks[selected]
    if len(np.unique(blocks)) < folds:
        return TwoSample(float("nan"), float("nan"), float("nan"))
    features = np.concatenate([x, y])
    is_real = np.arange(2 * size) >= size
    fold = np.concatenate([assign_folds(np.arange(size), folds, rng), assign_folds(blocks, folds, rng)])
    correct = np.empty(2 * size, dtype=bool)
    for held_out in range(folds):
        test = fold == held_out
        fitted = classifier(seed).fit(features[~test], is_real[~test])
        correct[test] = fitted.predict(features[test]) == is_real[test]
    row_blocks = np.concatenate([np.arange(size), size + np.unique(blocks, return_inverse=True)[1]])
    accuracy = float(correct.mean())
    return TwoSample(accuracy, *wilson(accuracy, independent_rows(correct, row_blocks, folds)))


def classifier(seed: int) -> VotingClassifier:
    """Classifier that averages the probabilities of boosted trees and of a logistic regression.

    The trees detect a difference in the distribution of any single feature; the regression, on features and their
    squares, adds up small differences of means and variances over many. With 256 rows of 100 features in each class,
    each alone misses differences that the other detects.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier  # slow to import
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    trees = HistGradientBoostingClassifier(
        max_leaf_nodes=8, max_bins=32, early_stopping=False, random_state=seed
    )
    sums = make_pipeline(
        StandardScaler(),
        FunctionTransformer(with_squares),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=1000),  # strong regularisation: twice the features on few rows
    )
    return VotingClassifier([("trees", trees), ("sums", sums)], voting="soft")


def with_squares(x: Float[np.ndarray, "n feature"]) -> Float[np.ndarray, "n twice_feature"]:
    """Features and their squares."""
    return np.concatenate([x, x**2], axis=1)


def assign_folds(
    blocks: Shaped[np.ndarray, " n"], folds: int, rng: np.random.Generator
) -> Integer[np.ndarray, " n"]:
    """Fold of each row: blocks are assigned in random order, each to the fold with the fewest rows so far."""
    names, of_row = np.unique(blocks, return_inverse=True)
    sizes = np.bincount(of_row)
    fold_of_block = np.empty(len(names), dtype=int)
    filled = np.zeros(folds, dtype=int)
    for block in rng.permutation(len(names)):
        fold_of_block[block] = filled.argmin()
        filled[filled.argmin()] += sizes[block]
    return fold_of_block[of_row]


def independent_rows(
    correct: Shaped[np.ndarray, " n"], blocks: Integer[np.ndarray, " n"], folds: int
) -> float:
    """Effective number of rows, n / (design effect of the blocks) / (1 + K n_test/n_train), with n_test/n_train =
    1/(K - 1) of K folds.

    The last term accounts for classifiers that were trained on the same rows (Nadeau and Bengio 2003,
    doi:10.1023/A:1024068626366): 2.25 for 5 folds; experiments with features of one distribution gave 1.6 to 1.8.
    """
    return len(correct) / design_effect(correct, blocks) / (1 + folds / (folds - 1))


def design_effect(correct: Shaped[np.ndarray, " n"], blocks: Integer[np.ndarray, " n"]) -> float:
    """Variance of the mean of `correct` with correlation inside blocks, over that of independent rows; at least 1."""
    deviation = correct - correct.mean()
    independent = (deviation**2).sum()
    if independent == 0:
        return 1.0
    clustered = (np.bincount(blocks, deviation) ** 2).sum()
    return max(1.0, float(clustered / independent))


def wilson(share: float, count: float | int) -> tuple[float, float]:
    """95 % interval of a probability from its frequency `share` in `count` trials (Wilson 1927); never of width 0."""
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return float(centre - half), float(centre + half)


# The Fréchet distance of two sets of features, each taken as one Gaussian (Heusel et al. 2017, arXiv:1706.08500).
#
# With the features of an image classifier it is the Fréchet inception distance, FID. Its value depends on the
# features: values by different features must not share a column.


def frechet_distance(x: Float[np.ndarray, "n feature"], y: Float[np.ndarray, "m feature"]) -> float:
    """`frechet_of_moments` of the sample means and covariances (divisor n - 1), in the square of the features' unit.

    Biased upwards by a term of order 1/n + 1/m that depends on the distribution: compare only values with the same n
    and m, next to the score of as many real features, and let n and m clearly exceed the number of features. NaN for
    a single row, which has no covariance; infinite where a feature is not finite, to penalise a model that blew up.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("inf")
    if min(len(x), len(y)) < 2:
        return float("nan")
    return frechet_of_moments(*moments(x), *moments(y))


def moments(
    x: Float[np.ndarray, "n feature"],
) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, "feature feature"]]:
    """Mean and covariance (divisor n - 1), in float64."""
    x = x.astype(float)
    return x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))


def frechet_of_moments(
    mu_x: Float[np.ndarray, " feature"],
    sigma_x: Float[np.ndarray, "feature feature"],
    mu_y: Float[np.ndarray, " feature"],
    sigma_y: Float[np.ndarray, "feature feature"],
) -> float:
    """‖μ_x - μ_y‖² + tr(Σ_x + Σ_y - 2 (Σ_x Σ_y)^½), the squared Wasserstein-2 distance of two Gaussians (Dowson and
    Landau 1982, doi:10.1016/0047-259X(82)90077-X).

    tr (Σ_x Σ_y)^½ is the sum of the singular values of Σ_x^½ Σ_y^½: real and stable where the product itself, which
    is not symmetric, has a root with an imaginary part, as with fewer rows than features.
    """
    product = symmetric_root(sigma_x) @ symmetric_root(sigma_y)
    trace = np.linalg.svd(product, compute_uv=False).sum()
    distance = ((mu_x - mu_y) ** 2).sum() + np.trace(sigma_x) + np.trace(sigma_y) - 2 * trace
    return max(float(distance), 0.0)  # below 0 by rounding only


def symmetric_root(sigma: Float[np.ndarray, "feature feature"]) -> Float[np.ndarray, "feature feature"]:
    """Symmetric root S = Sᵀ of a covariance Σ = S S; eigenvalues below 0 by rounding count as 0."""
    values, vectors = np.linalg.eigh(sigma)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


# The kernel distance of two sets of features, KID (Bińkowski et al. 2018, arXiv:1801.01401), whose estimate is
# unbiased at any size of the sets.


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


# The nearest training state of each state: a sample that is much closer to one than test states are is a copy.


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


# Wasserstein-1 distance between the two empirical distributions of each cell, for two sets of maps.


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


class Sets(NamedTuple):
    """Numbers that describe each sample, each real test state and each training state, in the same columns."""

    samples: Float[np.ndarray, "n column"]
    test: Float[np.ndarray, "m column"]
    training: Store  # a row for each training state


def set_scores(
    features: Sets,
    noise: Float[np.ndarray, "n_noise column"] | None,
    blocks: Integer[np.ndarray, " m"] | None,
    seed: int,
) -> Iterator[tuple[str, Score]]:
    """Yield fid, kid, c2st, their floors and ceilings, and kid_sd, the standard deviation over subsets.

    Floors replace the samples by as many training states; they contain the difference between training and test
    years. FID depends on the size of the sets: if there are fewer training states than samples, only that many
    samples are scored (`scored_count`), and if there are not twice as many, floors have no interval.
    """
    count = scored_count(features)
    samples, test, training = features.samples[:count], features.test, features.training
    yield "fid", Score(frechet_distance(samples, test))
    kernel = kernel_distance(samples, test, seed=seed, blocks=blocks)
    yield "kid", Score(kernel.mean, *kernel.interval)
    yield "kid_sd", Score(kernel.sd)
    yield "c2st", Score(*two_sample(samples, test, blocks=blocks, seed=seed))
    rng = np.random.default_rng([seed, len(training), len(samples)])
    perfect = [training[rng.permutation(len(training))[:count]] for _ in range(FLOOR_SETS)]
    differ = len(training) >= 2 * count  # else the sets are nearly the same, and so are their scores
    yield "fid_floor", mean_over_sets([frechet_distance(states, test) for states in perfect], differ)
    yield "kid_floor", mean_over_sets([kernel_mean(states, test, seed) for states in perfect], differ)
    yield "c2st_floor", Score(two_sample(perfect[0], test, blocks=blocks, seed=seed).accuracy)
    if noise is not None:
        noise = noise[:count]
        yield "fid_ceiling", Score(frechet_distance(noise, test))
        yield "kid_ceiling", Score(kernel_mean(noise, test, seed))


def kernel_mean(x: Float[np.ndarray, "n column"], test: Float[np.ndarray, "m column"], seed: int) -> float:
    """The kernel distance, without its error."""
    return kernel_distance(x, test, seed=seed, error=False).mean


def scored_count(features: Sets) -> int:
    """Number of samples that are scored: as many as there are training states for the floor, at most all.

    If a feature is not finite all samples are scored, so that a model that blew up is penalised.
    """
    finite = np.isfinite(features.samples).all()
    return min(len(features.samples), len(features.training)) if finite else len(features.samples)


def mean_over_sets(values: list[float], differ: bool = True) -> Score:
    """Mean over sets, and the interval that holds 95 % of them if the sets `differ`."""
    low, high = np.quantile(values, [0.025, 0.975]) if differ else (math.nan, math.nan)
    return Score(float(np.mean(values)), float(low), float(high))


# The two most active components of a latent code, a square that holds them, and a prior's mass beyond contours.


def most_active(latents: xr.Dataset) -> tuple[int, int]:
    """The two components whose posterior means vary most, in ascending order."""
    spread = latents["mean" if "mean" in latents else "drawn"].var("datum").to_numpy()
    first, second = sorted(np.argsort(-spread, kind="stable")[:2].tolist())
    return first, second


def limits_of(drawn: Float[np.ndarray, "datum 2"]) -> Float[np.ndarray, "end 2"]:
    """Corners of a square around the codes of data, with one scale for both axes.

    It is half as wide again as the middle 99 % of the codes in their wider component, so that the density of a prior
    is also visible where there are none. Single draws of a prior may be far away, and do not count.
    """
    finite = drawn[np.isfinite(drawn).all(1)]
    low = np.quantile(
        finite, 0.005, axis=0, method="higher"
    )  # so that it is none of few codes that is far away
    high = np.quantile(finite, 0.995, axis=0, method="lower")
    middle, half = (low + high) / 2, 0.75 * (high - low).max()
    return np.stack([middle - half, middle + half])


def mass_beyond(mass: Float[np.ndarray, "v u"]) -> Float[np.ndarray, "v u"]:
    """Probability of all cells that are less dense than each one: 1 - the mass of its region of highest density.

    `mass` is the probability of cells of one size; what the cells lack to 1 is beyond all of them, or if they exceed
    1, as a coarse grid does for a narrow peak, they are scaled to it.
    """
    flat = np.nan_to_num(mass.ravel()) / max(1.0, float(np.nansum(mass)))
    order = np.argsort(-flat, kind="stable")
    beyond = np.empty_like(flat)
    beyond[order] = 1 - np.cumsum(flat[order]) + flat[order] / 2
    return np.where(flat > 0, beyond, 0.0).reshape(mass.shape)
