"""Coastlines lie where the Earth has them, in the longitudes of the grid."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from fieldcast.figures.sheet import coastlines, land_cells, outline


def world(**variables) -> xr.Dataset:
    grid = {"latitude": np.arange(-87.5, 90.0, 5.0), "longitude": np.arange(0.0, 360.0, 5.0)}
    return xr.Dataset(variables, grid)


@pytest.mark.parametrize(
    ("place", "is_land"),
    [
        ((48.9, 2.4), True),  # Paris
        ((-25.0, 134.0), True),  # Australia
        ((-85.0, 30.0), True),  # Antarctica
        ((38.0, -98.0), True),  # Kansas
        ((0.0, -30.0), False),  # Atlantic
        ((30.0, -160.0), False),  # Pacific
        ((-60.0, 60.0), False),  # Southern Ocean
    ],
)
def test_known_places_are_land_or_sea(place, is_land):
    latitude, longitude = place
    assert land_cells()[int((90 - latitude) / 0.5), int((longitude + 180) / 0.5)] == is_land


def test_land_covers_its_share_of_the_earth():
    """29.2 % of the surface; ice shelves and inland seas below the ocean's level add a little."""
    weights = np.cos(np.deg2rad(90 - 0.5 * (np.arange(360) + 0.5)))
    assert np.average(land_cells().mean(axis=1), weights=weights) == pytest.approx(0.29, abs=0.01)


def test_the_same_coast_is_drawn_in_whatever_longitudes_the_grid_counts():
    """A coast west of Greenwich once lay outside a grid from 0 to 360."""
    latitude = np.arange(35.0, 61.0)
    west = coastlines(latitude, np.arange(-15.0, 11.0))
    east = coastlines(latitude, np.arange(345.0, 371.0))
    assert len(west) == len(east) > 2
    for line, turned in zip(west, east, strict=True):
        np.testing.assert_allclose(line + np.array([360.0, 0.0]), turned)
    points = np.concatenate(west)
    assert points.min(axis=0).tolist() > [-15.5, 34.5] and points.max(axis=0).tolist() < [10.5, 60.5]


def test_a_planet_has_its_mountains_and_a_data_set_its_own_land():
    values = np.zeros((36, 72))
    values[10:14, 20:26] = 1000.0
    dims = ("latitude", "longitude")
    planet = world(orography=(dims, values, {"standard_name": "surface_altitude"}))
    (mountain,) = outline(planet)
    assert mountain.min(axis=0).tolist() > [90.0, -45.0] and mountain.max(axis=0).tolist() < [130.0, -15.0]
    mask = world(lsm=(dims, values / 1000, {"standard_name": "land_binary_mask"}))
    assert len(outline(mask)) == 1
    assert len(outline(world())) > 5  # the Earth


def test_images_have_no_outline():
    assert outline(xr.Dataset({"image": (("sample", "y", "x"), np.zeros((2, 4, 4)))})) == []
