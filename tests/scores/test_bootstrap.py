from __future__ import annotations

import numpy as np
import pytest

from fieldcast.scores.bootstrap import block_days, block_length, block_weights, interval, resampled_means


def times(n: int, hours: int) -> np.ndarray:
    return np.datetime64("2001-01-01T00:00:00", "s") + np.arange(n) * np.timedelta64(hours, "h")


@pytest.mark.parametrize(("hours", "expected"), [(24, 10), (6, 40), (24 * 3, 4), (24 * 10, 1), (24 * 13, 1)])
def test_blocks_last_at_least_ten_days(hours: int, expected: int) -> None:
    assert block_length(times(50, hours)) == expected


@pytest.mark.parametrize(("months", "expected"), [(1, 6), (3, 2), (12, 1)])
def test_blocks_of_monthly_data_last_half_a_year(months: int, expected: int) -> None:
    month = np.datetime64("2001-01", "M") + months * np.arange(48)
    assert block_length(month.astype("M8[s]"), block_days(months)) == expected
    assert block_days(0) == 10


def test_one_time_is_one_block() -> None:
    assert block_length(times(1, 24)) == 1


def test_resamples_hold_whole_blocks_and_every_time_equally_often() -> None:
    weights = block_weights(40, 8, seed=1)
    np.testing.assert_allclose(weights.sum(1), 1)
    # 5 blocks of 8 neighbours: at most 5 places, round the end, where the multiplicity rises
    rises = (np.roll(weights, -1, axis=1) > weights).sum(1)
    assert rises.max() == 5
    np.testing.assert_allclose(weights.mean(0), 1 / 40, atol=4 * weights.std() / np.sqrt(1000))


def test_the_seed_is_the_only_randomness() -> None:
    np.testing.assert_array_equal(block_weights(20, 2, seed=3), block_weights(20, 2, seed=3))
    assert (block_weights(20, 2, seed=3) != block_weights(20, 2, seed=4)).any()


def test_too_few_blocks_have_no_interval() -> None:
    low, high = interval(resampled_means(np.ones((29, 2)), block_weights(29, 10)))
    assert low.shape == (2,)
    assert np.isnan([low, high]).all()
    low, high = interval(resampled_means(np.ones((30, 2)), block_weights(30, 10)))
    np.testing.assert_allclose([low, high], 1)


def test_means_leave_out_times_without_a_value_and_keep_infinite_ones() -> None:
    weights = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    means = resampled_means(np.array([[1.0, np.inf], [np.nan, 2.0], [4.0, 3.0]]), weights)
    np.testing.assert_array_equal(means[0], [2.0, np.inf])
    assert np.isnan(means[1, 0])  # nothing but the missing time was drawn


def coverage_of_mean(series: np.ndarray, length: int) -> float:
    """Frequency with which the interval of the mean of a series (row) holds the true mean, 0."""
    weights = block_weights(series.shape[1], length, seed=9, resamples=400)
    low, high = interval(resampled_means(series.T, weights))
    return float(((low < 0) & (high > 0)).mean())


def test_interval_covers_what_it_should_on_white_noise() -> None:
    white = np.random.default_rng(6).standard_normal((1000, 64))
    assert coverage_of_mean(white, 1) == pytest.approx(0.94, abs=0.025)


def test_blocks_are_needed_when_times_are_alike() -> None:
    rng = np.random.default_rng(7)
    red = rng.standard_normal((400, 400))
    for t in range(1, red.shape[1]):
        red[:, t] += 0.8 * red[:, t - 1]
    assert coverage_of_mean(red, 1) < 0.6
    assert coverage_of_mean(red, 25) == pytest.approx(0.92, abs=0.04)


def test_interval_of_a_root_is_the_root_of_resampled_means() -> None:
    squares = np.random.default_rng(8).standard_normal((64, 1)) ** 2
    means = resampled_means(squares, block_weights(64, 1))
    low, high = interval(np.sqrt(means))
    np.testing.assert_allclose([low, high], np.sqrt(interval(means)), rtol=1e-3)
