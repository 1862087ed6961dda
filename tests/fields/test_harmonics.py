"""Annual cycles from few values: harmonics that are there stay, others vanish."""

import numpy as np
import pytest

from fieldcast.fields.climatology import basis, shrunk_cycle

YEARS, GRID = 10, (8, 9)
MONTHS, PENTADS = (2 * np.pi * np.arange(parts) / parts for parts in (12, 73))


def statistics(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums and numbers of each part of the year, and the sum of squares, of (year, part, y, x) with NaN."""
    return np.nansum(values, 0), np.isfinite(values).sum(0).astype(float), np.nansum(values**2, (0, 1))


@pytest.fixture
def cycle() -> np.ndarray:
    return waves_at(MONTHS)


def waves_at(theta: np.ndarray) -> np.ndarray:
    """An annual and a semi-annual wave that differ between cells, at some phases."""
    theta, size = theta[:, None, None], np.random.default_rng(1).standard_normal((3, *GRID))
    return size[0] + 3 * size[1] * np.cos(theta) + size[2] * np.sin(2 * theta)


def test_the_basis_spans_all_cycles_of_twelve_months() -> None:
    assert basis(MONTHS).shape == (12, 13) and np.linalg.matrix_rank(basis(MONTHS)) == 12


def test_a_cycle_without_noise_is_reproduced(cycle: np.ndarray) -> None:
    values = np.repeat(cycle[None], YEARS, axis=0)
    np.testing.assert_allclose(shrunk_cycle(*statistics(values), MONTHS, MONTHS), cycle, atol=1e-3)


def test_few_noisy_values_give_half_the_error_of_monthly_means(cycle: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    values = cycle + rng.standard_normal((YEARS, 12, *GRID))
    values[rng.random(values.shape) < 0.6] = np.nan
    sums, counts, squares = statistics(values)
    present = counts > 0
    means = sums / np.where(present, counts, 1)
    fitted = shrunk_cycle(sums, counts, squares, MONTHS, MONTHS)
    error, of_means = (np.sqrt(np.mean((c - cycle)[present] ** 2)) for c in (fitted, means))
    assert error < 0.65 * of_means
    without = shrunk_cycle(*statistics(values - cycle), MONTHS, MONTHS)
    assert np.abs(without - without.mean(0)).mean() < 0.1  # no cycle is made up


def test_a_cell_without_values_has_no_cycle(cycle: np.ndarray) -> None:
    values = np.repeat(cycle[None], YEARS, axis=0)
    values[:, :, 0, 0] = np.nan
    assert not shrunk_cycle(*statistics(values), MONTHS, MONTHS)[:, 0, 0].any()


def test_the_cycle_of_pentads_is_that_of_each_day() -> None:
    """A few values in each cell, at phases between which the cycle is evaluated."""
    rng, days = np.random.default_rng(2), 2 * np.pi * np.arange(365) / 365
    values = waves_at(PENTADS) + 0.3 * rng.standard_normal((3, 73, *GRID))
    values[rng.random(values.shape) < 0.8] = np.nan
    fitted, cycle = shrunk_cycle(*statistics(values), PENTADS, days), waves_at(days)
    assert np.sqrt(np.mean((fitted - cycle) ** 2)) < 0.12  # 44 values and five waves leave .1
