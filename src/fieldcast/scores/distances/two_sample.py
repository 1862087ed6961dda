"""The classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545): the accuracy with which a
classifier separates samples from real states that it was not trained on, by their features."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Shaped

if TYPE_CHECKING:
    from sklearn.ensemble import VotingClassifier

FOLDS = 5
Z = 1.96  # quantile of a standard normal, for 95 % intervals


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
