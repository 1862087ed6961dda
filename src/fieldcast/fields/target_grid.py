"""Grids on which fields are made from stations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.fields.coordinates import in_degrees, refuse_projected
from fieldcast.geometry import GRID

MIN_LINES = 2  # smallest number of rows, and of columns
MAX_RESOLUTION = 90.0  # coarsest resolution, in degrees


def covering_grid(locations: pd.DataFrame, resolution: float) -> dict[str, Float[np.ndarray, " n"]]:
    """Latitudes and longitudes, multiples of the resolution in degrees, that cover some locations.

    Raises
    ------
    InputError
        For a resolution that is not positive, or coarser than the earth.
    """
    if not 0 < resolution <= MAX_RESOLUTION:
        raise InputError(
            f"the resolution is {resolution:g}: give degrees, more than 0 and at most {MAX_RESOLUTION:g}."
        )
    grid = {}
    for axis, most in zip(GRID, (90.0, np.inf), strict=True):
        low, high = (float(end) for end in (locations[axis].min(), locations[axis].max()))
        first, last = int(np.floor(low / resolution + 1e-9)), int(np.ceil(high / resolution - 1e-9))
        values = np.arange(first, max(last, first + 1) + 1) * resolution
        grid[axis] = values[np.abs(values) <= most]
        if len(grid[axis]) < MIN_LINES:
            grid[axis] = (
                np.array([-resolution, 0.0, resolution]) if first < 0 else np.array([0.0, resolution])
            )
    around = grid["longitude"]
    grid["longitude"] = around[around < around[0] + 360.0 - 1e-6]
    return grid


def grid_like(dataset: xr.Dataset, where: str) -> dict[str, Float[np.ndarray, " n"]]:
    """Latitudes and longitudes of a data set in any layout.

    Raises
    ------
    InputError
        If it has no such axes, if they are rotated, projected or in other units than degrees and radians, or for a
        grid that is not rectilinear or has fewer than two rows or columns.
    """
    axes = conventions.axes(dataset)
    if missing := [axis for axis in GRID if axis not in axes]:
        raise InputError(f"{where} has no {' and no '.join(missing)}: give a data set on such a grid.")
    refuse_projected(dataset, where)
    grid = {axis: in_degrees(dataset[axes[axis]], axis, where).values.astype(float) for axis in GRID}
    for axis, values in grid.items():
        if values.ndim != 1 or len(values) < MIN_LINES:
            raise InputError(
                f"{where}: its {axis} needs at least two values along one axis: give a rectilinear grid."
            )
    return grid
