"""Cycles of months from few values: harmonics that are there stay, others vanish."""

import numpy as np
import pytest

from fieldcast.fields.harmonics import basis, shrunk_cycle

YEARS, GRID = 10, (8, 9)


def statistics(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums and numbers of each month, and the sum of squares, of (year, month, y, x) with NaN."""
    return np.nansum(values, 0), np.isfinite(values).sum(0).astype(float), np.nansum(values**2, (0, 1))


@pytest.fixture
def cycle() -> np.ndarray:
    """An annual and a semi-annual wave that differ between cells."""
    theta = 2 * np.pi * np.arange(12)[:, None, None] / 12
    size = np.random.default_rng(1).standard_normal((3, *GRID))
    return size[0] + 3 * size[1] * np.cos(theta) + size[2] * np.sin(2 * theta)


def test_the_basis_spans_all_cycles_of_twelve_months() -> None:
    waves, order = basis()
    assert np.linalg.matrix_rank(waves) == 12
    assert order.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]


def test_a_cycle_without_noise_is_reproduced(cycle: np.ndarray) -> None:
    values = np.repeat(cycle[None], YEARS, axis=0)
    np.testing.assert_allclose(shrunk_cycle(*statistics(values)), cycle, atol=1e-3)


def test_few_noisy_values_give_half_the_error_of_monthly_means(cycle: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    values = cycle + rng.standard_normal((YEARS, 12, *GRID))
    values[rng.random(values.shape) < 0.6] = np.nan
    sums, counts, squares = statistics(values)
    present = counts > 0
    means = sums / np.where(present, counts, 1)
    fitted = shrunk_cycle(sums, counts, squares)
    error, of_means = (np.sqrt(np.mean((c - cycle)[present] ** 2)) for c in (fitted, means))
    assert error < 0.65 * of_means
    without = shrunk_cycle(*statistics(values - cycle))
    assert np.abs(without - without.mean(0)).mean() < 0.1  # no cycle is made up


def test_a_cell_without_values_has_no_cycle(cycle: np.ndarray) -> None:
    values = np.repeat(cycle[None], YEARS, axis=0)
    values[:, :, 0, 0] = np.nan
    assert not shrunk_cycle(*statistics(values))[:, 0, 0].any()
