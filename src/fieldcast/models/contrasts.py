"""The fair CRPS of contrasts: differences between two cells a distance apart, along longitude or along latitude.

    x(s + d) - x(s)

A score of each cell by itself does not see how the errors of cells go together: members that are too smooth, one
offset of a whole region each, may score as well as members that look like weather. Their contrasts do not. The idea is
that of the variogram score (Scheuerer and Hamill 2015, Variogram-based proper scoring rules for probabilistic forecasts
of multivariate quantities, Monthly Weather Review 143, eq. 13), with the fair CRPS in place of its moments.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Space
from fieldcast.models.crps import fair_crps

DISTANCES = 1, 2, 4, 8  # in cells: from the smallest structure to those of weather
LATITUDE, LONGITUDE = -2, -1


def contrast(
    x: Float[Tensor, "*lead y x"], distance: int, axis: int, wraps: bool
) -> Float[Tensor, "*lead y2 x2"]:
    """x(s + d) - x(s) of all pairs along an axis; longitude goes on round the globe where it wraps."""
    return torch.sub(*ends(x, distance, axis, wraps))


def ends(x: Tensor, distance: int, axis: int, wraps: bool) -> tuple[Tensor, Tensor]:
    """x(s + d) and x(s) of all pairs."""
    if wraps and axis == LONGITUDE:
        return x.roll(-distance, axis), x
    pairs = max(x.shape[axis] - distance, 0)
    return x.narrow(axis, x.shape[axis] - pairs, pairs), x.narrow(axis, 0, pairs)


def contrast_crps(
    draws: Float[Tensor, "batch members variable y x"],
    truth: Float[Tensor, "batch variable y x"],
    space: Space,
) -> Float[Tensor, ""]:
    """Fair CRPS of the contrasts: the mean over pairs by area, then over `DISTANCES` and both directions.

    A pair of which a cell never has a value does not count, nor does a distance without a pair.
    """
    scores = []
    for axis in (LONGITUDE, LATITUDE):
        for distance in DISTANCES:
            apart = distance, axis, space.wraps
            weight = torch.stack(ends(space.area * space.exists, *apart)).mean(0)
            weight = weight * torch.logical_and(*ends(space.exists, *apart))
            if weight.any():
                crps = fair_crps(contrast(draws, *apart), contrast(truth, *apart))
                scores.append((crps * weight).sum((-2, -1)).mean() / weight.sum())
    return torch.stack(scores).mean()
