"""The energy score of an ensemble of maps (Gneiting and Raftery 2007, doi:10.1198/016214506000001437, eq. 22).

It generalises the fair CRPS from numbers to maps: the distance between two maps takes the place of |x - y|.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def squared_distances(
    d: Float[np.ndarray, "member time latitude longitude"],
    weights: Float[np.ndarray, "region latitude longitude"],
) -> Float[np.ndarray, "region time map map"]:
    """‖a - b‖² = Σ_cells w (a - b)² between all members and the truth, which is the last map.

    The squares add up over variables. The cost is M² products of maps per time.

    Parameters
    ----------
    d
        Errors x - y of the members in one variable; the truth itself is 0.
    weights
        Weights w of the cells in each region.

    Returns
    -------
    Array
        Dims (region, time, map, map), in squared units of d; NaN in a region without cells.
    """
    members, times = d.shape[:2]
    maps = np.moveaxis(d, 0, 1).reshape(times, members, -1)
    squares = np.full(
        (len(weights), times, members + 1, members + 1), np.nan
    )  # a region without cells stays NaN
    for region, weight in enumerate(weights):
        inside = weight.ravel() > 0
        if not inside.any():
            continue
        scaled = maps[..., inside] * np.sqrt(weight.ravel()[inside])
        product = np.zeros((times, members + 1, members + 1))
        product[:, :-1, :-1] = scaled @ scaled.swapaxes(1, 2)
        square = np.diagonal(product, axis1=1, axis2=2)
        squares[region] = np.maximum(square[:, :, None] + square[:, None, :] - 2 * product, 0.0)
    return squares


def energy_score(squared: Float[np.ndarray, "*batch map map"]) -> Float[np.ndarray, "*batch"]:
    """ES = mean_i ‖x_i - y‖ - 1/(2 M (M - 1)) Σ_ij ‖x_i - x_j‖, fair, over all pairs; one member: ‖x - y‖.

    In the units of the maps. `squared` comes from `squared_distances`.
    """
    distance = np.sqrt(squared)
    skill = distance[..., :-1, -1].mean(-1)
    members = squared.shape[-1] - 1
    if members == 1:
        return skill
    pairs = distance[..., :-1, :-1].sum((-2, -1))
    return skill - pairs / (2 * members * (members - 1))
