"""The fair CRPS of contrasts: differences between two cells at a distance, along longitude or along latitude.

    x(s + d) - x(s)

A score of separate cells is insensitive to the correlation of errors between cells: members that are too smooth, each
offset over a whole region, may score as well as members with the structure of weather. Contrasts distinguish them. The
idea comes from the variogram score (Scheuerer and Hamill 2015, Variogram-based proper scoring rules for probabilistic
forecasts of multivariate quantities, Monthly Weather Review 143), with the fair CRPS in place of its moments. Contrasts
do not constrain the level of a field: they complement a score of cells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.space import Space

DISTANCES = 1, 2, 4, 8  # distances in cells, from the smallest resolved structures to weather systems
LATITUDE, LONGITUDE = -2, -1


class Pairs(NamedTuple):
    """All pairs of cells that are `distance` cells apart along an axis, which may wrap round the globe."""

    distance: int
    axis: int
    wraps: bool

    def ends(self, x: Shaped[Tensor, "*lead y x"]) -> tuple[Tensor, Tensor]:
        """x(s + d) and x(s). Round the globe, pairs are at most half a turn apart."""
        size = x.shape[self.axis]
        if self.wraps and 2 * self.distance <= size:
            return x.roll(-self.distance, self.axis), x
        count = 0 if self.wraps else max(size - self.distance, 0)
        return x.narrow(self.axis, size - count, count), x.narrow(self.axis, 0, count)

    def contrast(self, x: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead y2 x2"]:
        """x(s + d) - x(s)."""
        return torch.sub(*self.ends(x))

    def weight(self, space: Space) -> Float[Tensor, "y2 x2"]:
        """The mean area of the two cells; 0 if one of them does not exist."""
        both = torch.logical_and(*self.ends(space.exists))
        return torch.stack(self.ends(space.area)).mean(0) * both


def pairs_of(space: Space) -> list[Pairs]:
    """Pairs at all `DISTANCES` along both axes that exist on the grid."""
    candidates = [
        Pairs(distance, axis, space.wraps and axis == LONGITUDE)
        for axis in (LONGITUDE, LATITUDE)
        for distance in DISTANCES
    ]
    return [pairs for pairs in candidates if pairs.weight(space).any()]


def contrast_crps(
    draws: Float[Tensor, "batch members variable y x"],
    truth: Float[Tensor, "batch variable y x"],
    space: Space,
    pairs: list[Pairs],
) -> Float[Tensor, ""]:
    """Fair CRPS of the contrasts: the area-weighted mean over pairs, then the mean over distances and directions."""
    scores = []
    for at_distance in pairs:
        weight = at_distance.weight(space)
        crps = fair_crps(at_distance.contrast(draws), at_distance.contrast(truth))
        scores.append((crps * weight).sum((-2, -1)).mean() / weight.sum())
    return torch.stack(scores).mean()
