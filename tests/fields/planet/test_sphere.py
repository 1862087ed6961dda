"""The transform against scipy's harmonics, closed forms, and a finer grid."""

import numpy as np
import pytest
from scipy.special import sph_harm_y

from fieldcast.fields.planet.sphere import Sphere, equiangular_latitudes, gaussian_latitudes


def random_coefficients(truncation: int, *batch: int, k: int = 1, seed: int = 0) -> np.ndarray:
    """Coefficients of real fields, of every mode."""
    size = truncation + 1
    c = np.random.default_rng(seed).normal(size=(*batch, size, 2, k, size))
    c[..., 0, 1, :, :] = 0
    return c * np.triu(np.ones((size, size)))[:, None, None]


@pytest.mark.parametrize("truncation", [5, 21])
def test_analysis_inverts_synthesis(truncation: int) -> None:
    sphere = Sphere.gaussian(truncation)
    c = random_coefficients(truncation, 2, k=3)
    np.testing.assert_allclose(sphere.analysis(sphere.synthesis(c)), c, atol=1e-12)


def test_harmonics_equal_scipy() -> None:
    """Ours have 1/2 int P^2 dmu = 1 and no Condon-Shortley phase: P exp(i m lambda) = (-1)^m sqrt(4 pi) Y."""
    sphere, rng = Sphere.gaussian(21), np.random.default_rng(1)
    colatitude = np.arccos(sphere.mu)
    for m, n in [(0, 0), (0, 21), (21, 21), *(sorted(rng.integers(0, 22, 2)) for _ in range(8))]:
        c = np.zeros((22, 2, 1, 22))
        c[m, 0, 0, n] = 1
        y = sph_harm_y(n, m, colatitude, np.radians(sphere.longitude)[:, None])
        expected = (-1) ** m * np.sqrt(4 * np.pi) * (2 if m else 1) * y.real
        np.testing.assert_allclose(sphere.synthesis(c)[:, 0], expected, atol=1e-11)


def test_global_mean_square_is_the_sum_of_squares() -> None:
    sphere = Sphere.gaussian(21)
    c = random_coefficients(21)
    mean_square = np.mean(sphere.synthesis(c)[:, 0] ** 2, axis=0) @ sphere.weights / 2
    assert mean_square == pytest.approx(2 * np.sum(c**2) - np.sum(c[0] ** 2), rel=1e-12)


def test_gradient_of_a_polynomial() -> None:
    """A = mu (1 - mu^2) cos(2 lambda + 1)."""
    sphere = Sphere.gaussian(5)
    angle, mu = 2 * np.radians(sphere.longitude)[:, None] + 1, sphere.mu
    field = mu * (1 - mu**2) * np.cos(angle)
    east, north = sphere.gradient(sphere.analysis(field[:, None]))[:, :, 0]
    np.testing.assert_allclose(east, -2 * mu * (1 - mu**2) * np.sin(angle), atol=1e-13)
    np.testing.assert_allclose(north, (1 - 3 * mu**2) * np.cos(angle), atol=1e-13)


def test_quadratic_products_are_free_of_aliasing() -> None:
    """The Jacobian of random fields is the same from a grid three times finer."""
    coarse = Sphere.gaussian(21)
    fine = Sphere(21, 192, *gaussian_latitudes(96))
    c = random_coefficients(21, k=2)

    def jacobian(sphere: Sphere) -> np.ndarray:
        east, north = sphere.gradient(c)
        return sphere.analysis(east[:, :1] * north[:, 1:] - north[:, :1] * east[:, 1:])

    exact = jacobian(fine)
    assert abs(jacobian(coarse) - exact).max() < 1e-12 * abs(exact).max()
    too_coarse = Sphere(21, 48, *gaussian_latitudes(24))
    assert abs(jacobian(too_coarse) - exact).max() > 0.1 * abs(exact).max()


def test_evaluation_is_exact_on_coarse_grids() -> None:
    """Values on fewer longitudes than the waves require are still those of the field at these points."""
    latitude = equiangular_latitudes(8)
    np.testing.assert_allclose(latitude, [-78.75, -56.25, -33.75, -11.25, 11.25, 33.75, 56.25, 78.75])
    c = random_coefficients(21)
    many, few = Sphere(21, 64, latitude).synthesis(c), Sphere(21, 16, latitude).synthesis(c)
    np.testing.assert_allclose(few, many[::4], atol=1e-12)


def test_a_batch_is_transformed_element_by_element() -> None:
    sphere, c = Sphere.gaussian(21), random_coefficients(21, 7, k=3)
    fields = sphere.synthesis(c)
    together = [sphere.gradient(c), fields, sphere.analysis(fields)]
    for index, alone in enumerate(c):
        field = sphere.synthesis(alone)
        for of_one, of_all in zip(
            [sphere.gradient(alone), field, sphere.analysis(field)], together, strict=True
        ):
            np.testing.assert_allclose(of_one, of_all[index], atol=1e-12)
