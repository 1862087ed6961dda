"""The observation operator H for locations between the cells of a latitude-longitude grid.

    (H x)_n = sum_k w_nk x(cell_nk),    sum_k w_nk = 1,

bilinear in latitude and longitude over the four cells around a location. The grid closes where its longitudes circle
the globe. Poleward of the first or last row of such a grid, the row beyond the pole is the same row on the opposite
meridian. The weight of cells that do not exist, such as land in a sea surface temperature, goes to the other cells.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from fieldcast.geometry import edges, wraps

# largest distance of the last row from the pole, in row spacings, for a grid that crosses it
MAX_POLE_SPACINGS = 1.5


class Stencil(NamedTuple):
    """Cells around some locations, and their weights; a location that is not on the grid has weights of 0."""

    cells: Int[np.ndarray, "n 4"]  # indices into (Y, X), flattened
    weights: Float[np.ndarray, "n 4"]


class Bracket(NamedTuple):
    """The two grid lines around each location, and the weight of the second."""

    first: Int[np.ndarray, " n"]
    second: Int[np.ndarray, " n"]
    share: Float[np.ndarray, " n"]
    inside: Bool[np.ndarray, " n"]


def stencil(
    latitude: Float[np.ndarray, " y"],
    longitude: Float[np.ndarray, " x"],
    exists: Bool[np.ndarray, "y x"],
    at_latitude: Float[np.ndarray, " n"],
    at_longitude: Float[np.ndarray, " n"],
) -> Stencil:
    """Cells and weights of locations [degrees] on a grid with ascending coordinates.

    A location in the outer half of a cell at the edge of a region takes the values of that edge.
    """
    closed = wraps(longitude)
    row, crossed = latitude_bracket(latitude, at_latitude, closed)
    columns = longitude_bracket(longitude, at_longitude, closed)
    opposite = longitude_bracket(longitude, at_longitude + 180.0, closed) if closed else columns
    corners, weights = [], []
    for y, over, vertical in (
        (row.first, crossed < 0, 1 - row.share),
        (row.second, crossed > 0, row.share),
    ):
        for near, far, horizontal, beyond in (
            (columns.first, opposite.first, 1 - columns.share, 1 - opposite.share),
            (columns.second, opposite.second, columns.share, opposite.share),
        ):
            corners.append(y * len(longitude) + np.where(over, far, near))
            weights.append(vertical * np.where(over, beyond, horizontal))
    cells, weight = np.stack(corners, axis=1), np.stack(weights, axis=1)
    weight = weight * exists.ravel()[cells] * (row.inside & columns.inside)[:, None]
    total = weight.sum(axis=1, keepdims=True)
    return Stencil(cells, np.divide(weight, total, out=np.zeros_like(weight), where=total > 0))


def latitude_bracket(
    latitude: Float[np.ndarray, " y"], at: Float[np.ndarray, " n"], closed: bool
) -> tuple[Bracket, Int[np.ndarray, " n"]]:
    """The rows around each location; also -1 or 1 if the first or the second is beyond the south or north pole."""
    bracket = between(latitude, at)
    crossed = np.zeros(len(at), dtype=int)
    spacing = np.diff(latitude)
    if not closed:
        return bracket, crossed
    first, second, share, inside = (array.copy() for array in bracket)
    for side, outer, gap in ((-1, latitude[0], spacing[0]), (1, latitude[-1], spacing[-1])):
        distance = 90.0 - side * outer  # degrees from the outermost row to the pole
        polar = (side * at > side * outer) & (np.abs(at) <= 90)
        if not 0 < distance <= MAX_POLE_SPACINGS * gap:
            continue
        crossed[polar] = side
        last = 0 if side < 0 else len(latitude) - 1
        first[polar] = second[polar] = last
        # share of the way to the row on the other side
        beyond = (side * (at[polar] - outer)) / (2 * distance)
        share[polar] = beyond if side > 0 else 1 - beyond
        inside[polar] = True
    return Bracket(first, second, share, inside), crossed


def longitude_bracket(
    longitude: Float[np.ndarray, " x"], at: Float[np.ndarray, " n"], closed: bool
) -> Bracket:
    """The columns around each location, whose longitude may differ by any multiple of 360 degrees."""
    west = longitude[0] - (0.0 if closed else (longitude[1] - longitude[0]) / 2)
    at = west + (at - west) % 360.0
    if not closed:
        return between(longitude, at)
    around = np.append(longitude, longitude[0] + 360.0)
    first, second, share, inside = between(around, at)
    return Bracket(first, second % len(longitude), share, inside)


def between(lines: Float[np.ndarray, " lines"], at: Float[np.ndarray, " n"]) -> Bracket:
    """The neighbouring lines around each location; up to half a cell beyond the outermost line, this line alone."""
    first = np.clip(np.searchsorted(lines, at, side="right") - 1, 0, len(lines) - 2)
    share = (at - lines[first]) / (lines[first + 1] - lines[first])
    ends = edges(lines)
    inside = (at >= ends[0]) & (at <= ends[-1])
    return Bracket(first, first + 1, np.clip(share, 0.0, 1.0), inside)
