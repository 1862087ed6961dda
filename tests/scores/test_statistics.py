from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm
from scores.continuous import additive_bias, mae, mse
from scores.probability import crps_for_ensemble

from fieldcast.scores.statistics import POWER, cell_statistics, coverage, coverage_interval, fair_crps, ranks


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def gaussian_crps(mean: float, sd: float, y: np.ndarray) -> np.ndarray:
    """Gneiting and Raftery (2007), section 4.2."""
    z = (y - mean) / sd
    return sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))


@pytest.mark.parametrize("members", [2, 3, 10, 19])
def test_fair_crps_is_that_of_scores(members: int, rng: np.random.Generator) -> None:
    x, y = rng.normal(280, 10, (members, 5, 7)), rng.normal(280, 10, (5, 7))
    x[1] = x[0]  # ties
    expected = crps_for_ensemble(
        xr.DataArray(x, dims=("member", "a", "b")),
        xr.DataArray(y, dims=("a", "b")),
        "member",
        method="fair",
        preserve_dims="all",
    )
    np.testing.assert_allclose(fair_crps(x, y), expected, rtol=1e-11)


@pytest.mark.parametrize("members", [2, 5, 19])
def test_fair_crps_is_unbiased_whatever_the_number_of_members(members: int, rng: np.random.Generator) -> None:
    """The mean over many ensembles of N(1, 2) is the closed form of that distribution."""
    draws = 200_000
    for y in (-1.0, 2.5):
        crps = fair_crps(rng.normal(1, 2, (members, draws)), np.full(draws, y))
        standard_error = crps.std() / np.sqrt(draws)
        assert abs(crps.mean() - gaussian_crps(1, 2, np.array(y))) < 4 * standard_error


def test_one_member_has_its_absolute_error_for_crps() -> None:
    np.testing.assert_allclose(fair_crps(np.array([[1.0, -2.0]]), np.array([4.0, 1.0])), [3.0, 3.0])


def test_crps_keeps_its_digits_in_float32(rng: np.random.Generator) -> None:
    """Deviations of 0.1 on a level of 55000, whose float32 step is 0.004, are scored as they are stored."""
    x, y = ((55000 + 0.1 * rng.standard_normal(shape)).astype("f4") for shape in ((19, 1000), (1000,)))
    crps, exact = fair_crps(x, y), fair_crps(x.astype(float), y.astype(float))
    np.testing.assert_allclose(crps, exact, atol=1e-7)


def test_a_member_that_is_not_a_number_scores_nan(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((19, 2)), np.zeros(2)
    x[3, 0] = np.nan
    statistics = cell_statistics(x, y, ranks(x, y, rng))
    for values in statistics.values():
        assert np.isnan(values[0])
        assert np.isfinite(values[1])


@pytest.mark.parametrize(
    ("members", "nominal", "expected"),
    [
        (19, 0.5, (5, 15)),
        (19, 0.9, (1, 19)),
        (3, 0.5, (1, 3)),
        (10, 0.5, (3, 8)),
        (39, 0.9, (2, 38)),
    ],
)
def test_interval_between_order_statistics(members: int, nominal: float, expected: tuple) -> None:
    interval = coverage_interval(members, nominal)
    assert interval is not None
    assert (interval.i, interval.j) == expected
    assert interval.probability == pytest.approx((expected[1] - expected[0]) / (members + 1))


@pytest.mark.parametrize(("members", "nominal"), [(1, 0.5), (1, 0.9), (2, 0.5), (9, 0.5), (10, 0.9)])
def test_too_few_members_have_no_interval(members: int, nominal: float) -> None:
    assert coverage_interval(members, nominal) is None
    assert np.isnan(coverage(np.zeros(4, int), members, nominal)).all()


def test_coverage_is_the_truth_between_the_order_statistics(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((19, 500)), rng.standard_normal(500)
    ordered = np.sort(x, axis=0)
    rank = ranks(x, y, rng)
    for nominal, low, high in ((0.5, 4, 14), (0.9, 0, 18)):
        inside = (ordered[low] < y) & (y < ordered[high])
        np.testing.assert_array_equal(coverage(rank, 19, nominal), inside)


def test_calibrated_members_have_flat_ranks_and_exact_coverage(rng: np.random.Generator) -> None:
    n = 100_000
    x, y = rng.standard_normal((19, n)), rng.standard_normal(n)
    rank = ranks(x, y, rng)
    counts = np.bincount(rank, minlength=20)
    assert np.abs(counts - n / 20).max() < 4.5 * np.sqrt(n / 20)
    for nominal in (0.5, 0.9):
        error = coverage(rank, 19, nominal).mean() - nominal
        assert abs(error) < 4 * np.sqrt(nominal * (1 - nominal) / n)


def test_ties_are_broken_evenly_and_by_the_seed() -> None:
    x, y = np.zeros((4, 50_000)), np.zeros(50_000)
    x[0] = -1.0  # below: ranks 1..4 remain
    rank = ranks(x, y, np.random.default_rng(3))
    np.testing.assert_array_equal(rank, ranks(x, y, np.random.default_rng(3)))
    assert (rank != ranks(x, y, np.random.default_rng(4))).any()
    counts = np.bincount(rank, minlength=5)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 12_500).max() < 4.5 * np.sqrt(12_500)


def test_errors_equal_the_scores_package_and_the_member_mean(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((7, 50)), rng.standard_normal(50)
    statistics = cell_statistics(x, y, ranks(x, y, rng))
    mean, truth = xr.DataArray(x.mean(0), dims="cell"), xr.DataArray(y, dims="cell")
    for name, score in (("squared_error", mse), ("absolute_error", mae), ("error", additive_bias)):
        expected = score(mean, truth, preserve_dims="all") if name != "error" else mean - truth
        np.testing.assert_allclose(statistics[name], expected)
        np.testing.assert_allclose(statistics[name].mean(), score(mean, truth))


def test_debiasing_gives_the_error_of_infinitely_many_members(rng: np.random.Generator) -> None:
    """Members N(0.3, 1) about a truth of 0: the mean of infinitely many is wrong by 0.3, whatever M."""
    for members in (2, 19):
        x, y = rng.normal(0.3, 1, (members, 200_000)), np.zeros(200_000)
        squares = cell_statistics(x, y, ranks(x, y, rng))["debiased_squared_error"]
        assert abs(squares.mean() - 0.09) < 4 * squares.std() / np.sqrt(squares.size)


def test_powers_have_squared_units(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((19, 30)), rng.standard_normal(30)
    rank = ranks(x, y, rng)
    once, thrice = cell_statistics(x, y, rank), cell_statistics(3 * x, 3 * y, rank)
    for name, values in once.items():
        np.testing.assert_allclose(thrice[name], 3.0 ** POWER[name] * values, atol=1e-12)
