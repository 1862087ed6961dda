from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from fieldcast.scores.distances import (
    assign_folds,
    design_effect,
    independent_rows,
    two_sample,
    wilson,
)


def gaussians(seed: int, count: int, features: int = 10) -> np.ndarray:
    return np.random.default_rng([13, seed]).standard_normal((2, count, features))


def test_equal_distributions_give_one_half() -> None:
    results = [two_sample(*gaussians(seed, 128, 10), seed=seed) for seed in range(4)]
    assert sum(item.low < 0.5 < item.high for item in results) >= 3
    assert np.mean([item.accuracy for item in results]) == pytest.approx(0.5, abs=0.05)
    assert results[0].high - results[0].low == pytest.approx(2 * 1.96 * 0.5 * 1.5 / 16, rel=0.05)


@pytest.mark.parametrize("delta", [2.0, 4.0])
def test_accuracy_of_shifted_gaussians_is_bayes(delta: float) -> None:
    """N(0, I) and N(δ e_1, I): nothing can be right more often than Φ(δ/2)."""
    x, y = gaussians(0, 300, 10)
    y[:, 0] += delta
    result = two_sample(x, y)
    assert result.accuracy == pytest.approx(norm.cdf(delta / 2), abs=0.04)
    assert result.low < norm.cdf(delta / 2)


def test_differences_of_spread_or_shape_alone_are_detected() -> None:
    x, y = gaussians(1, 200)
    assert two_sample(2.0 * x, y).low > 0.8
    # the same mean and variance, two humps
    hump = x.copy()
    hump[:, 3] = np.sign(hump[:, 3])
    assert two_sample(hump, y).low > 0.6


def test_classes_are_balanced_and_the_seed_is_the_only_randomness() -> None:
    x, y = gaussians(2, 300, 6)
    result = two_sample(x[:60], y, seed=1)
    assert result == two_sample(x[:60], y, seed=1)
    more_samples = two_sample(x, y[:60], seed=1)
    assert more_samples.high - more_samples.low == pytest.approx(result.high - result.low, rel=0.1)
    # always saying "real" would be right in 5 of 6 cases
    assert result.accuracy < 0.7
    assert result.high - result.low == pytest.approx(2 * 1.96 * 0.5 * 1.5 / np.sqrt(120), rel=0.1)


def test_states_alike_in_time_are_in_one_fold() -> None:
    """Real states in blocks that share an offset: split among folds, an offset is known again."""
    rng = np.random.default_rng(3)
    blocks = np.arange(200) // 10
    x = rng.standard_normal((200, 30))
    y = 0.3 * rng.standard_normal((200, 30)) + np.sqrt(0.91) * rng.standard_normal((20, 30))[blocks]
    together, apart = two_sample(x, y, blocks=blocks), two_sample(x, y)
    assert together.accuracy < apart.accuracy - 0.1
    assert together.high - together.low > apart.high - apart.low


def test_blocks_are_dealt_evenly_and_whole() -> None:
    blocks = np.repeat(np.arange(100, 130), 7)
    fold = assign_folds(blocks, 5, np.random.default_rng(0))
    assert np.bincount(fold).tolist() == [42] * 5
    assert all(len(set(fold[blocks == item])) == 1 for item in blocks)


def test_the_design_effect_is_the_size_of_blocks_that_agree() -> None:
    right = np.repeat(np.random.default_rng(4).random(500) < 0.7, 4)
    assert design_effect(right, np.repeat(np.arange(500), 4)) == pytest.approx(4)
    assert design_effect(right, np.arange(2000)) == pytest.approx(1)
    assert independent_rows(right, np.repeat(np.arange(500), 4), 5) == pytest.approx(500 / 2.25)
    assert independent_rows(right, np.arange(2000), 5) == pytest.approx(2000 / 2.25)
    assert design_effect(np.ones(4, dtype=bool), np.zeros(4, dtype=int)) == 1


def test_the_interval_is_wilsons() -> None:
    for right in (0, 3, 29, 40):
        expected = binomtest(right, 40).proportion_ci(0.95, method="wilson")
        assert wilson(right / 40, 40) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_infinite_samples_are_detected_and_too_few_blocks_give_no_test() -> None:
    x, y = gaussians(5, 20, 3)
    x[3, 1] = np.nan
    assert two_sample(x, y) == (1.0, 1.0, 1.0)
    assert np.isnan(two_sample(y, y, blocks=np.arange(20) // 10)).all()
