from typing import get_args

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre
from sklearn.gaussian_process.kernels import Matern

from fieldcast.models.gaussian import covariance_terms
from fieldcast.models.gaussian.covariance_terms import (
    CORRELATIONS,
    EARTH_RADIUS_KM,
    Correlation,
    Kernel,
    chord,
    exponential,
    gaspari_cohn,
    matern32,
    matern52,
)


def test_every_correlation_option_works():
    assert get_args(Correlation) == tuple(CORRELATIONS)


def sphere(count: int, seed: int = 0) -> torch.Tensor:
    """Random points of the unit sphere, half of them the antipodes of the other half."""
    points = np.random.default_rng(seed).normal(size=(count // 2, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return torch.from_numpy(np.concatenate([points, -points]))


ALL = [(f, length) for f in CORRELATIONS.values() for length in (300.0, 2000.0, 20000.0)]
ALL += [(gaspari_cohn, length) for length in (3000.0, 12000.0, 18000.0, 28000.0, 60000.0)]


@pytest.mark.parametrize(("function", "length"), ALL)
def test_correlations_are_symmetric_and_positive_definite(function, length):
    points = sphere(400)
    matrix = function(chord(points, points), length)
    assert torch.equal(matrix, matrix.T)
    assert torch.allclose(matrix.diagonal(), torch.ones(400, dtype=torch.float64))
    assert torch.linalg.eigvalsh(matrix).min() > -1e-9
    assert (matrix >= 0).all()


def test_the_taper_in_great_circle_distance_would_not_be_positive_definite():
    x, weight = np.polynomial.legendre.leggauss(400)
    wrong = gaspari_cohn(torch.from_numpy(EARTH_RADIUS_KM * np.arccos(x)), 28000.0).numpy()
    right = gaspari_cohn(torch.from_numpy(EARTH_RADIUS_KM * np.sqrt(2 - 2 * x)), 28000.0).numpy()
    legendre = np.array([eval_legendre(n, x) for n in range(20)])
    assert (legendre @ (weight * wrong)).min() < -1e-4
    assert (legendre @ (weight * right)).min() > 0


def test_the_taper_is_that_of_the_paper():
    """Eq. 4.10 for a = 1/2, c half the support: 5/24 at c, and both branches as printed."""
    c = 700.0
    z = np.linspace(0, 2.5, 200)
    near = -(z**5) / 4 + z**4 / 2 + 5 * z**3 / 8 - 5 * z**2 / 3 + 1
    with np.errstate(divide="ignore"):
        far = z**5 / 12 - z**4 / 2 + 5 * z**3 / 8 + 5 * z**2 / 3 - 5 * z + 4 - 2 / (3 * z)
    expected = np.where(z <= 1, near, np.where(z <= 2, far, 0))
    np.testing.assert_allclose(gaspari_cohn(torch.from_numpy(c * z), 2 * c).numpy(), expected, atol=1e-14)
    assert gaspari_cohn(torch.tensor([c]), 2 * c).item() == pytest.approx(5 / 24)


@pytest.mark.parametrize(("function", "nu"), [(matern32, 1.5), (matern52, 2.5)])
def test_matern_agrees_with_scikit_learn(function, nu):
    points = sphere(60)
    expected = Matern(length_scale=1500 / EARTH_RADIUS_KM, nu=nu)(points.numpy())
    np.testing.assert_allclose(function(chord(points, points), 1500.0).numpy(), expected, atol=1e-12)


def test_exponential_is_of_the_great_circle():
    points = sphere(60)
    angle = np.arccos(np.clip(points.numpy() @ points.numpy().T, -1, 1))
    expected = np.exp(-angle * EARTH_RADIUS_KM / 1500)
    np.testing.assert_allclose(exponential(chord(points, points), 1500.0).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("table", [0, 4096])
def test_a_kernel_gives_the_same_with_and_without_a_table(monkeypatch, table):
    monkeypatch.setattr(covariance_terms, "MAX_TABLE_POINTS", table)
    points = sphere(40)
    kernel = Kernel(matern32, 2000.0, points)
    assert (kernel.table is None) == (table == 0)
    first, second = torch.tensor([3, 3, 0]), torch.tensor([7, 3, 7, 39])
    whole = matern32(chord(points, points), 2000.0)
    assert torch.allclose(kernel.block(first, second), whole[first][:, second], atol=1e-14)
    assert torch.allclose(kernel.correlations_of(first), whole[first], atol=1e-14)
