from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel

from fieldcast.scores import distances as module
from fieldcast.scores.distances import jackknife_error, kernel_distance, unbiased_mmd2


def slowly(x: np.ndarray, y: np.ndarray) -> float:
    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    m = len(x)
    pairs = [(i, j) for i in range(m) for j in range(m) if i != j]
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs) / (m * (m - 1))
    return within - 2 / m**2 * sum(k(a, b) for a in x for b in y)


def test_the_distance_equals_the_double_loop() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 9, 4))
    assert unbiased_mmd2(x, y + 0.5) == pytest.approx(slowly(x, y + 0.5), rel=1e-10)


def test_the_kernel_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 20, 3))
    k = [polynomial_kernel(a, b, degree=3, coef0=1) for a, b in ((x, x), (y, y), (x, y))]  # gamma is 1/d
    within = sum((gram.sum() - np.trace(gram)) / (20 * 19) for gram in k[:2])
    assert unbiased_mmd2(x, y) == pytest.approx(within - 2 * k[2].mean(), rel=1e-10)


def test_equal_distributions_give_zero_on_average() -> None:
    rng = np.random.default_rng(2)
    distances = [unbiased_mmd2(*rng.standard_normal((2, 12, 5))) for _ in range(1000)]
    error = np.std(distances) / np.sqrt(len(distances))
    assert abs(np.mean(distances)) < 3 * error
    assert min(distances) < -5 * error  # so that a bias as large as one pair's share would be seen


def test_shifted_gaussians_have_the_closed_form() -> None:
    """One feature, x ~ N(0, 1), y ~ N(δ, 1): E k over independent pairs needs the first three moments alone."""
    delta = 1.5

    def mean_kernel(a: list[float], b: list[float]) -> float:  # E (XY + 1)³
        return a[2] * b[2] + 3 * a[1] * b[1] + 3 * a[0] * b[0] + 1

    first, second = [0.0, 1.0, 0.0], [delta, 1 + delta**2, delta**3 + 3 * delta]
    expected = mean_kernel(first, first) + mean_kernel(second, second) - 2 * mean_kernel(first, second)
    rng = np.random.default_rng(3)
    distances = [
        unbiased_mmd2(rng.standard_normal((30, 1)), delta + rng.standard_normal((30, 1))) for _ in range(600)
    ]
    assert np.mean(distances) == pytest.approx(expected, abs=4 * np.std(distances) / np.sqrt(len(distances)))


def test_subsets_are_quarters_of_small_sets_and_seeded() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((80, 3)), rng.standard_normal((200, 3)) + 1
    distance = kernel_distance(x, y, seed=5)
    assert distance.size == 20
    assert kernel_distance(x, y, size=10).size == 10
    assert distance == kernel_distance(x, y, seed=5)
    assert distance != kernel_distance(x, y, seed=6)
    assert distance.sd > distance.error > 0


def test_a_subset_has_no_row_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subset without repetition does not count k(x, x) as a pair; a subset of all rows is the set."""
    monkeypatch.setattr(module, "MIN_SUBSETS_PER_SET", 1)
    x, y = np.random.default_rng(5).standard_normal((2, 30, 3))
    assert kernel_distance(x, y, subsets=3).mean == pytest.approx(unbiased_mmd2(x, y), rel=1e-9)


def test_the_error_is_that_of_leaving_out_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUBSET_SIZE", 4)
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((9, 3)), rng.standard_normal((9, 3)) + 1

    def theta(x: np.ndarray, y: np.ndarray) -> float:
        k = [polynomial_kernel(a, b, degree=3, coef0=1) for a, b in ((x, x), (y, y), (x, y))]
        within = [(gram.sum() - np.trace(gram)) / (len(gram) * (len(gram) - 1)) for gram in k[:2]]
        return sum(within) - 2 * k[2].mean()

    without = [
        [theta(np.delete(x, i, 0), y) for i in range(9)],
        [theta(x, np.delete(y, i, 0)) for i in range(9)],
    ]
    assert jackknife_error(x, y) == pytest.approx(np.sqrt(8 * np.var(without, axis=1).sum()), rel=1e-9)


def test_the_error_of_blocks_is_that_of_leaving_out_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUBSET_SIZE", 4)
    rng = np.random.default_rng(9)
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((11, 3)) + 1
    blocks = np.array([5, 5, 5, 2, 2, 2, 2, 9, 9, 9, 4])

    def theta(x: np.ndarray, y: np.ndarray) -> float:
        k = [polynomial_kernel(a, b, degree=3, coef0=1) for a, b in ((x, x), (y, y), (x, y))]
        within = [(gram.sum() - np.trace(gram)) / (len(gram) * (len(gram) - 1)) for gram in k[:2]]
        return sum(within) - 2 * k[2].mean()

    of_x = [theta(np.delete(x, i, 0), y) for i in range(7)]
    of_y = [theta(x, y[blocks != block]) for block in np.unique(blocks)]
    expected = np.sqrt(6 * np.var(of_x) + 3 * np.var(of_y))
    assert jackknife_error(x, y, blocks) == pytest.approx(expected, rel=1e-9)
    assert np.isnan(jackknife_error(x, y, np.arange(11) // 6))


def test_similar_days_carry_less_information_than_their_number() -> None:
    """An autoregression that forgets in about 10 of 200 days: by rows the error is far too small, by blocks it is the
    scatter."""
    rng = np.random.default_rng(10)
    distances = []
    for _ in range(30):
        y = rng.standard_normal((200, 2))
        for day in range(1, 200):
            y[day] = 0.8 * y[day - 1] + 0.6 * y[day]
        x = 0.5 * rng.standard_normal((400, 2)) - 0.5
        both = (jackknife_error(x, y, blocks) for blocks in (None, np.arange(200) // 20))
        distances.append((kernel_distance(x, y, subsets=40, error=False).mean, *both))
    values, alone, together = np.array(distances).T
    assert np.mean(alone) < 0.55 * values.std()
    assert np.mean(together) == pytest.approx(values.std(), rel=0.25)


@pytest.mark.parametrize(("shift", "expected"), [(0.5, 1.0), (0.0, 1.3)])
def test_the_error_is_the_scatter_of_values(shift: float, expected: float) -> None:
    rng = np.random.default_rng(7)
    distances = [
        kernel_distance(rng.standard_normal((100, 4)), rng.standard_normal((150, 4)) + shift, subsets=40)
        for _ in range(60)
    ]
    scatter = np.std([distance.mean for distance in distances])
    assert np.mean([distance.error for distance in distances]) / scatter == pytest.approx(expected, abs=0.25)


def test_undefined_distances() -> None:
    x = np.random.default_rng(8).standard_normal((8, 2))
    blown_up = kernel_distance(np.full((8, 2), np.inf), x)
    assert blown_up.mean == np.inf
    assert np.isnan(blown_up.interval).all()
    assert np.isnan(kernel_distance(x[:1], x).mean)
    pair = kernel_distance(x[:2], x)
    assert pair.size == 2
    assert np.isnan(pair.interval).all()
