"""Bumps on a sphere, of which the longitude wraps."""

import numpy as np

from fieldcast.fields.planet.dynamics import HEAT_SOURCES, MOUNTAINS, Bump, relief


def test_a_bump_wraps() -> None:
    longitude = np.arange(0.0, 360.0, 10.0)
    height = relief({"hill": Bump(30, 0, 10, 20, 100)}, longitude, np.array([30.0, 40.0]))
    assert height[0, 0] == 100
    np.testing.assert_allclose(height[[2, -2], 0], 100 / np.e)
    np.testing.assert_allclose(height[0, 1], 100 / np.e)
    assert height[18].max() < 1e-30


def test_maps_have_coastlines_ticks_and_labels() -> None:
    longitude, latitude = np.arange(0.0, 360.0), np.arange(-89.0, 90.0)
    for bumps in (MOUNTAINS, HEAT_SOURCES):
        total = relief(bumps, longitude, latitude)
        for bump in bumps.values():
            at = total[round(bump.longitude), round(bump.latitude) + 89]
            np.testing.assert_allclose(at, bump.top, atol=0.12 * abs(bump.top))
