from __future__ import annotations

import numpy as np
import pytest

from fieldcast.scores.evaluator import STATISTICS
from fieldcast.scores.metrics import METRICS, skill, unbiased_spread_skill_ratio
from fieldcast.scores.statistics import POWER, cell_statistics, ranks


def test_every_statistic_that_a_metric_needs_exists() -> None:
    for metric in METRICS.values():
        assert set(metric.statistics) <= {*POWER, *STATISTICS}


@pytest.mark.parametrize("members", [2, 10, 19])
@pytest.mark.parametrize("spread", [1.0, 0.5])
def test_spread_skill_ratio_is_the_ratio_of_standard_deviations_whatever_the_members(
    members: int, spread: float
) -> None:
    """Truth N(0, 1), members N(0, spread²): √(spread² / 1)."""
    rng = np.random.default_rng(5)
    n = 200_000
    x, y = spread * rng.standard_normal((members, n)), rng.standard_normal(n)
    found = cell_statistics(x, y, ranks(x, y, rng))
    means = (found[name].mean(keepdims=True) for name in ("variance", "debiased_squared_error"))
    assert unbiased_spread_skill_ratio(*means)[0] == pytest.approx(spread, rel=0.01)


def test_spread_without_error_has_no_ratio() -> None:
    assert np.isnan(unbiased_spread_skill_ratio(np.array([1.0]), np.array([-0.1])))[0]


def test_roots_are_of_means() -> None:
    assert METRICS["rmse"].of_means(np.array([4.0, 9.0]).mean()) == pytest.approx(np.sqrt(6.5))


def test_skill_is_one_at_best_and_zero_for_the_reference() -> None:
    own, reference = np.array([0.0, 1.0, 2.0, np.inf]), np.array([2.0, 2.0, 2.0, 2.0])
    np.testing.assert_array_equal(skill(own, reference), [1.0, 0.5, 0.0, -np.inf])
    assert np.isnan(skill(np.array([1.0]), np.array([0.0]))).all()
