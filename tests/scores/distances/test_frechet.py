from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import ortho_group

from fieldcast.scores.distances import frechet_distance, frechet_of_moments, moments


def covariance(rng: np.random.Generator, size: int) -> np.ndarray:
    root = rng.standard_normal((size, size))
    return root @ root.T / size


def test_two_gaussians_that_commute_have_a_closed_form() -> None:
    """Σ_x = Q diag(a) Qᵀ, Σ_y = Q diag(b) Qᵀ: Σ (√a - √b)² + ‖μ_x - μ_y‖²."""
    rng = np.random.default_rng(0)
    q = ortho_group.rvs(5, random_state=0)
    a, b, mu_x, mu_y = rng.uniform(0.1, 3, (4, 5))
    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum() + ((mu_x - mu_y) ** 2).sum()
    distance = frechet_of_moments(mu_x, (q * a) @ q.T, mu_y, (q * b) @ q.T)
    assert distance == pytest.approx(expected, rel=1e-12)


def test_the_distance_equals_the_formula_with_an_independent_root() -> None:
    rng = np.random.default_rng(1)
    sigma_x, sigma_y = covariance(rng, 7), covariance(rng, 7)
    mu_x, mu_y = rng.standard_normal((2, 7))
    root = sqrtm(sigma_x @ sigma_y)
    expected = ((mu_x - mu_y) ** 2).sum() + np.trace(sigma_x + sigma_y - 2 * root).real
    assert frechet_of_moments(mu_x, sigma_x, mu_y, sigma_y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sizes", [(40, 30), (5, 4)])  # the second has fewer rows than features
def test_sample_distance_is_symmetric_and_zero_for_itself(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    x, y = (rng.standard_normal((n, 12)).astype("f4") + 100 for n in sizes)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 3) == pytest.approx(9 * 12, rel=1e-6)


def test_covariances_have_n_minus_one_below() -> None:
    x = np.array([[0.0], [1.0], [5.0]])
    mean, sigma = moments(x)
    assert mean == pytest.approx([2.0])
    assert sigma == pytest.approx(np.array([[7.0]]))
    # one feature: (√Σ_x - √Σ_y)² + (μ_x - μ_y)²
    assert frechet_distance(x, 2 * x) == pytest.approx(7 + 4)


def test_the_bias_falls_with_the_number_of_rows() -> None:
    rng = np.random.default_rng(3)
    distances = [
        np.mean([frechet_distance(*rng.standard_normal((2, n, 8))) for _ in range(20)])
        for n in (50, 100, 200)
    ]
    assert distances[0] / distances[1] == pytest.approx(2, rel=0.15)
    assert distances[1] / distances[2] == pytest.approx(2, rel=0.15)


def test_infinite_samples_are_infinitely_far_and_one_sample_has_no_spread() -> None:
    x = np.ones((4, 2))
    assert frechet_distance(np.full((4, 2), np.nan), x) == np.inf
    assert np.isnan(frechet_distance(x[:1], x))
