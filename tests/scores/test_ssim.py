from __future__ import annotations

import numpy as np
import pytest

from fieldcast.scores.reconstruction import structural_similarity


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    x = rng.random((2, 13, 18))
    return x, np.clip(x + 0.2 * rng.standard_normal(x.shape), 0, 1)


def naive(x: np.ndarray, y: np.ndarray, exists: np.ndarray, wraps: bool) -> np.ndarray:
    """The definition, cell by cell: weighted moments under a window of 11 x 11."""
    height, width = x.shape
    ssim = np.full(x.shape, np.nan)
    for i, j in np.argwhere(exists):
        values, weights = [], []
        for di in range(-5, 6):
            for dj in range(-5, 6):
                a, b = i + di, (j + dj) % width if wraps else j + dj
                if 0 <= a < height and 0 <= b < width and exists[a, b]:
                    values.append((x[a, b], y[a, b]))
                    weights.append(np.exp(-(di**2 + dj**2) / (2 * 1.5**2)))
        p, q = np.array(values).T
        mean = np.average([p, q], axis=1, weights=weights)
        (vp, both), (_, vq) = np.cov(p, q, aweights=weights, ddof=0)
        c1, c2 = 0.01**2, 0.03**2
        ssim[i, j] = (2 * mean[0] * mean[1] + c1) * (2 * both + c2)
        ssim[i, j] /= (mean[0] ** 2 + mean[1] ** 2 + c1) * (vp + vq + c2)
    return ssim


@pytest.mark.parametrize("wraps", [True, False])
@pytest.mark.parametrize("holes", [True, False])
def test_ssim_equals_its_definition(maps: tuple[np.ndarray, np.ndarray], wraps: bool, holes: bool) -> None:
    x, y = maps
    exists = np.ones(x.shape[1:], bool)
    if holes:
        exists[3:7, 2:9] = False
        x = np.where(exists, x, np.nan)  # as land is in a sea-surface field
    ssim = structural_similarity(x, y, exists, wraps)
    for map_of_time, a, b in zip(ssim, x, y, strict=True):
        np.testing.assert_allclose(map_of_time, naive(a, b, exists, wraps), rtol=1e-9)


def test_identical_maps_have_one(maps: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = maps
    np.testing.assert_allclose(structural_similarity(x, x, np.ones((13, 18), bool), True), 1, rtol=1e-12)


def test_constant_maps_have_the_closed_form() -> None:
    x, y = np.full((9, 12), 0.2), np.full((9, 12), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    np.testing.assert_allclose(structural_similarity(x, y, np.ones((9, 12), bool), False), expected)


def test_turning_the_globe_turns_the_map(maps: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = maps
    exists = np.ones(x.shape[1:], bool)
    turned = structural_similarity(np.roll(x, 5, -1), np.roll(y, 5, -1), exists, True)
    np.testing.assert_allclose(turned, np.roll(structural_similarity(x, y, exists, True), 5, -1))
