"""Geometry of the latitude-longitude grid: whether it wraps, cell edges and areas, points on the sphere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from fieldcast.errors import InputError

GRID = ("latitude", "longitude")
# coordinates (latitude, longitude) of a grid that is not latitude by longitude, whose axes only number its cells
TRUE_GRID = ("true_latitude", "true_longitude")
TOLERANCE = 1e-3  # degrees: coordinates are often stored in single precision
# the planet and the spectra use WeatherBench 2's radius; distances between observations, the mean radius of the IUGG
EARTH_RADIUS = 6.371e6  # metres
MEAN_EARTH_RADIUS = 6371.0088  # kilometres
GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples are spread evenly modulo 1


def different_axis(grid: Any, other: Any) -> str | None:
    """The first axis in which two grids differ, None if they are the same.

    A grid is a data set, or a mapping from the names of `GRID` to coordinates [degrees].
    """
    for axis in GRID:
        x, y = (np.asarray(coordinates[axis], dtype=float) for coordinates in (grid, other))
        if x.shape != y.shape or not np.allclose(x, y, atol=TOLERANCE):
            return axis
    return None


def require_same_grid(grid: Any, other: Any, name: str, other_name: str, remedy: str) -> None:
    """Raise an InputError unless two grids, see `different_axis`, are the same; messages name their data."""
    if axis := different_axis(grid, other):
        first, second = (
            f"{len(x)} from {x[0]:g} to {x[-1]:g}" for x in (np.asarray(each[axis]) for each in (grid, other))
        )
        raise InputError(f"the {axis}s of {name} are {first}, those of {other_name} {second}: {remedy}.")


def counted_from(longitude: Float[np.ndarray, " x"], first: float) -> Float[np.ndarray, " x"]:
    """The given longitudes as values from `first` to `first` + 360 degrees."""
    start = first - TOLERANCE
    counted: Float[np.ndarray, " x"] = (longitude - start) % 360 + start
    return counted


def wraps(longitude: Any) -> bool:
    """Whether ascending longitudes [degrees] circle the globe, the last one grid step from the first."""
    x = np.asarray(longitude, dtype=float)
    if x.size < 3:
        return False
    closing = x[0] + 360.0 - x[-1]
    return bool(0 < closing <= 1.5 * np.median(np.diff(x)))


def cell_areas(
    latitude: Any, longitude: Any, exists: Bool[np.ndarray, "y x"] | None = None
) -> Float[np.ndarray, "y x"]:
    """Exact cell areas, normalised to mean 1 over the cells that exist, and 0 elsewhere.

    area = (sin(upper edge) - sin(lower edge)) * width in longitude. Edges lie midway between neighbours; the outermost
    are extrapolated by half a cell and clipped to the poles, so that regional grids are exact too.
    """
    y, x = np.asarray(latitude, dtype=float), np.asarray(longitude, dtype=float)
    bands = np.abs(np.diff(np.sin(np.deg2rad(np.clip(edges(y), -90.0, 90.0)))))
    if wraps(x):
        around = np.concatenate([[x[-1] - 360.0], x, [x[0] + 360.0]])
        widths = (around[2:] - around[:-2]) / 2
    else:
        widths = np.abs(np.diff(edges(x)))
    area = bands[:, None] * widths[None, :]
    if exists is not None:
        area = np.where(exists, area, 0.0)
    count = area.size if exists is None else int(exists.sum())
    return area * (count / area.sum())


def area_mean(
    values: Float[np.ndarray, "*batch y x"], area: Float[np.ndarray, "*#batch y x"]
) -> Float[np.ndarray, "*batch"]:
    """Area mean Σ area · value / Σ area over the cells of each map; NaN for a map without area.

    Values must be finite, even in cells of area 0.
    """
    total = area.sum(axis=(-2, -1))
    return np.asarray((area * values).sum(axis=(-2, -1)) / np.where(total > 0, total, np.nan))


def edges(centres: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, " edges"]:
    """Edges of n cells, n + 1 in number: midpoints, and half a cell beyond either end."""
    centres = centres.astype(float)
    middles = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])


def great_circle_km(chord: float) -> float:
    """Great-circle distance [km] between two points on the unit sphere that are a chord apart; infinite if that is."""
    if math.isinf(chord):
        return chord
    return 2 * MEAN_EARTH_RADIUS * math.asin(min(1.0, chord / 2))


def unit_points(latitude: Any, longitude: Any) -> Float[np.ndarray, "y x 3"]:
    """Cell centres on the unit sphere: (cos φ cos λ, cos φ sin λ, sin φ)."""
    phi = np.deg2rad(np.asarray(latitude, dtype=float))[:, None]
    lam = np.deg2rad(np.asarray(longitude, dtype=float))[None, :]
    return np.stack(
        [np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi) * np.ones_like(lam)], axis=-1
    )


# Grids that may not be latitude by longitude, as data sets or arrays of xarray.


def is_curvilinear(grid: Any) -> bool:
    """Whether the cells of a grid have latitudes and longitudes of their own, `TRUE_GRID`."""
    return set(TRUE_GRID) <= set(grid.coords)


def points_of(grid: Any) -> Float[np.ndarray, "y x 3"]:
    """Cell centres of any grid on the unit sphere."""
    if not is_curvilinear(grid):
        return unit_points(grid["latitude"], grid["longitude"])
    phi, lam = (np.deg2rad(grid[name].transpose(*GRID).values.astype(float)) for name in TRUE_GRID)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def areas_of(grid: Any, exists: Bool[np.ndarray, "y x"] | None = None) -> Float[np.ndarray, "y x"]:
    """Cell areas of any grid, normalised as those of `cell_areas`.

    On a curvilinear grid they are |dr/di x dr/dj|, by central differences of the points r on the sphere.
    """
    if not is_curvilinear(grid):
        return cell_areas(grid["latitude"], grid["longitude"], exists)
    points = points_of(grid)
    area = np.linalg.norm(np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1)), axis=-1)
    if exists is not None:
        area = np.where(exists, area, 0.0)
    count = area.size if exists is None else int(exists.sum())
    return np.asarray(area * (count / area.sum()))


# Evenly spaced indices.


def evenly_spaced_indices(length: int, count: int) -> Int[np.ndarray, " index"]:
    """Evenly spaced indices of a sequence of some length: the first, the last and others between, at most `count`."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64))
