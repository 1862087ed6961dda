"""Areas against closed forms: poles, a crop as part of the globe, Gaussian latitudes as a quadrature."""

import numpy as np
import pytest

from fieldcast import geometry

GLOBE = np.arange(0, 360, 5.625)


@pytest.mark.parametrize(
    ("longitude", "expected"),
    [
        (GLOBE, True),
        (np.arange(-180, 180, 2.5), True),
        (np.arange(0.0, 359.0, 2.5), True),
        (np.arange(-70, 12, 2.5), False),
        (np.arange(0, 356, 2.5), False),
        (np.array([0.0, 180.0]), False),
    ],
)
def test_wraps(longitude: np.ndarray, expected: bool) -> None:
    assert geometry.wraps(longitude) is expected


def test_poles_have_the_half_cells_of_the_closed_form() -> None:
    latitude = np.linspace(-90, 90, 73)
    area = geometry.cell_areas(latitude, np.arange(0, 360, 2.5))
    edge = np.deg2rad(88.75)
    exact = (1 - np.sin(edge)) / 2 * 73  # the pole's share of the sphere, times the rows
    assert np.allclose(area[[0, -1]], exact, rtol=1e-12)
    assert np.isclose(area.mean(), 1.0, rtol=1e-13)


@pytest.mark.parametrize("direction", [1, -1])
def test_inner_rows_go_as_the_cosine(direction: int) -> None:
    latitude = np.arange(-87.1875, 90, 5.625)[::direction]
    area = geometry.cell_areas(latitude, GLOBE)
    # sin(b) - sin(a) = 2 cos((a + b) / 2) sin((b - a) / 2): exact for cells of one width
    assert np.allclose(
        area[:, 0] / area[16, 0], np.cos(np.deg2rad(latitude)) / np.cos(np.deg2rad(latitude[16]))
    )


def test_a_crop_weighs_its_cells_as_the_globe_does() -> None:
    latitude = np.arange(-87.5, 90, 2.5)
    globe = geometry.cell_areas(latitude, np.arange(0, 360, 2.5))
    crop = geometry.cell_areas(latitude[40:60], np.arange(0, 360, 2.5)[3:30])
    inside = globe[40:60, 3:30]
    assert np.allclose(crop, inside / inside.mean(), rtol=1e-12)


def test_gaussian_latitudes_are_nearly_their_quadrature() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(64)
    area = geometry.cell_areas(np.rad2deg(np.arcsin(nodes)), GLOBE)
    assert np.allclose(area[:, 0], weights * 32, rtol=0.03)


def test_unequal_longitudes_and_cells_that_do_not_exist() -> None:
    exists = np.ones((2, 4), dtype=bool)
    exists[0, 1] = False
    area = geometry.cell_areas([-10.0, 10.0], [0.0, 10.0, 30.0, 70.0], exists)
    assert area[0, 1] == 0 and np.isclose(area.sum(), 7.0)
    assert np.allclose(area[1] / area[1, 0], [1.0, 1.5, 3.0, 4.0])


def test_points_have_the_great_circle_distance_of_the_haversine() -> None:
    points = geometry.unit_points([-30.0, 45.0], [0.0, 100.0, 350.0])
    assert np.allclose(np.linalg.norm(points, axis=-1), 1.0)
    phi, lam = np.deg2rad([-30.0, 45.0]), np.deg2rad(100.0)
    haversine = np.sin((phi[1] - phi[0]) / 2) ** 2 + np.cos(phi[0]) * np.cos(phi[1]) * np.sin(lam / 2) ** 2
    assert np.isclose(np.arccos(points[0, 0] @ points[1, 1]), 2 * np.arcsin(np.sqrt(haversine)))
    kilometres = geometry.great_circle_km(float(np.linalg.norm(points[0, 0] - points[1, 1])))
    assert np.isclose(kilometres, 2 * geometry.MEAN_EARTH_RADIUS * np.arcsin(np.sqrt(haversine)))


def test_an_area_mean_is_of_the_cells_that_have_an_area() -> None:
    values = np.array([[[1.0, 7.0], [3.0, 3.0]], [[5.0, 5.0], [5.0, 5.0]]])
    area = np.array([[0.5, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(geometry.area_mean(values, area), [(0.5 + 3 + 3) / 2.5, 5.0])
    assert np.isnan(geometry.area_mean(values, 0 * area)).all()


def test_grids_are_the_same_up_to_single_precision() -> None:
    longitude = np.linspace(0, 357.5, 144)
    grid = {"latitude": np.linspace(-88.75, 88.75, 72) / 3, "longitude": longitude}
    assert geometry.different_axis(grid, {name: x.astype(np.float32) for name, x in grid.items()}) is None
    assert geometry.different_axis(grid, grid | {"longitude": longitude[:-1]}) == "longitude"
    assert geometry.different_axis(grid, grid | {"longitude": longitude + 0.1}) == "longitude"
    assert geometry.different_axis(grid, grid | {"latitude": grid["latitude"][::-1]}) == "latitude"
