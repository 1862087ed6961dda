"""Bilinear observation operator: against scipy inside the grid, closed forms at its seams."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from fieldcast.fields.bilinear import stencil

LATITUDE, LONGITUDE = np.arange(-87.5, 90, 5.0), np.arange(0, 360, 5.0)
EVERYWHERE = np.ones((len(LATITUDE), len(LONGITUDE)), dtype=bool)


def at(
    values: np.ndarray, latitude: list[float], longitude: list[float], exists: np.ndarray = EVERYWHERE
) -> np.ndarray:
    cells, weights = stencil(
        LATITUDE, LONGITUDE, exists, np.array(latitude, float), np.array(longitude, float)
    )
    return np.asarray((values.ravel()[cells] * weights).sum(axis=1))


def test_inside_the_grid_scipy_agrees() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=EVERYWHERE.shape)
    latitude, longitude = rng.uniform(-87, 87, 200), rng.uniform(0, 355, 200)
    expected = RegularGridInterpolator((LATITUDE, LONGITUDE), values)(np.stack([latitude, longitude], axis=1))
    np.testing.assert_allclose(at(values, list(latitude), list(longitude)), expected, atol=1e-12)


def test_the_grid_closes_in_longitude_whatever_the_convention() -> None:
    values = np.broadcast_to(np.arange(len(LONGITUDE), dtype=float), EVERYWHERE.shape)
    np.testing.assert_allclose(at(values, [0, 0, 0], [357.5, -2.5, 717.5]), (71 + 0) / 2)


def test_at_a_pole_the_row_beyond_is_the_opposite_meridian() -> None:
    values = np.cos(np.deg2rad(LONGITUDE)) * np.ones((len(LATITUDE), 1))  # 1 at 0 degrees east, -1 at 180
    np.testing.assert_allclose(at(values, [90, -90], [0, 0]), 0, atol=1e-12)
    np.testing.assert_allclose(
        at(values, [88.75, -88.75], [0, 0]), 0.5, atol=1e-12
    )  # three quarters of 1, one of -1
    np.testing.assert_allclose(at(values, [88.75], [180]), -0.5, atol=1e-12)


def test_a_coast_takes_the_cells_that_exist() -> None:
    values = np.broadcast_to(np.arange(len(LONGITUDE), dtype=float), EVERYWHERE.shape)
    sea = EVERYWHERE.copy()
    sea[:, 10] = False
    np.testing.assert_allclose(at(values, [1, 1], [51, 54], sea), 11)
    sea[:, 11] = False
    _, weights = stencil(LATITUDE, LONGITUDE, sea, np.array([1.0]), np.array([52.0]))
    assert not weights.any()  # on land


@pytest.mark.parametrize(
    ("place", "inside"), [((9, 20), True), ((12.4, 20), True), ((12.6, 20), False), ((5, 33), False)]
)
def test_a_region_ends_half_a_cell_beyond_its_outer_cells(place: tuple[float, float], inside: bool) -> None:
    latitude, longitude = np.arange(0, 11, 5.0), np.arange(10, 31, 5.0)
    _, weights = stencil(
        latitude,
        longitude,
        np.ones((3, 5), dtype=bool),
        np.array([place[0]], dtype=float),
        np.array([place[1]], dtype=float),
    )
    assert weights.sum() == pytest.approx(float(inside))
