"""Positive definite correlations on the sphere: exponential, Matérn and a taper of compact support.

Distances are chords |p - q| of the unit sphere times the Earth's radius (km): a function that is positive
definite in three dimensions stays so on the sphere in terms of the chord. The great-circle distance lacks this
property: as a function of it the Gaspari-Cohn taper ceases to be positive definite when it reaches beyond the
antipode. The exponential is the exception used here (Gneiting 2013, "Strictly and non-strictly positive
definite functions on spheres", table 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.geometry import MEAN_EARTH_RADIUS

EARTH_RADIUS_KM = MEAN_EARTH_RADIUS
MAX_TABLE_POINTS = 4096  # largest number of points whose correlations are stored for all pairs (64 MB)


def gaspari_cohn(chord: Float[Tensor, "*shape"], support: float) -> Float[Tensor, "*shape"]:
    """Gaspari and Cohn (1999, eq. 4.10): a correlation, zero from `support` (km of chord) on."""
    r = 2 / support * chord
    near = (((-r / 4 + 1 / 2) * r + 5 / 8) * r - 5 / 3) * r * r + 1
    z = r.clamp(1, 2)
    # the printed polynomial, in factors: exactly 0 at 2
    far = (2 - z) ** 4 * ((2 * z + 4) * z - 1) / (24 * z)
    return torch.where(r <= 1, near, far)


def exponential(chord: Float[Tensor, "*shape"], length: float) -> Float[Tensor, "*shape"]:
    """exp(-d / length), d the great-circle distance in km."""
    return torch.exp(
        torch.asin((chord / (2 * EARTH_RADIUS_KM)).clamp(max=1)) * (-2 * EARTH_RADIUS_KM / length)
    )


def matern32(chord: Float[Tensor, "*shape"], length: float) -> Float[Tensor, "*shape"]:
    """Matérn, nu = 3/2: (1 + r) exp(-r), r = sqrt(3) chord / length (Rasmussen and Williams 2006, 4.17)."""
    r = chord * (3**0.5 / length)
    return (1 + r) * torch.exp(-r)


def matern52(chord: Float[Tensor, "*shape"], length: float) -> Float[Tensor, "*shape"]:
    """Matérn, nu = 5/2: (1 + r + r^2 / 3) exp(-r), r = sqrt(5) chord / length (ibid., 4.17)."""
    r = chord * (5**0.5 / length)
    return (1 + r + r.square() / 3) * torch.exp(-r)


Correlation = Literal["exponential", "matern32", "matern52"]
CORRELATIONS: dict[Correlation, Callable[[Tensor, float], Tensor]] = {
    "exponential": exponential,
    "matern32": matern32,
    "matern52": matern52,
}


def chord(p: Float[Tensor, "p 3"], q: Float[Tensor, "q 3"]) -> Float[Tensor, "p q"]:
    """Straight distances in km between points of the unit sphere, in the precision of the points."""
    return torch.cdist(p, q, compute_mode="donot_use_mm_for_euclid_dist").mul_(EARTH_RADIUS_KM)


class Kernel:
    """A correlation between points: a table of all pairs if there are few points, else computed on demand."""

    def __init__(
        self, function: Callable[[Tensor, float], Tensor], length: float, points: Float[Tensor, "p 3"]
    ):
        self.function, self.length, self.points = function, length, points
        self.table = function(chord(points, points), length) if len(points) <= MAX_TABLE_POINTS else None

    def block(
        self, first: Int[Tensor, " rows"], second: Int[Tensor, " columns"]
    ) -> Float[Tensor, "rows columns"]:
        """Correlations between points `first` and points `second`; a copy."""
        if self.table is not None:
            return self.table[first[:, None], second]
        p, i = torch.unique(first, return_inverse=True)  # variables share points: each pair is computed once
        q, j = torch.unique(second, return_inverse=True)
        return self.function(chord(self.points[p], self.points[q]), self.length)[i[:, None], j]

    def correlations_of(self, index: Int[Tensor, " rows"]) -> Float[Tensor, "rows p"]:
        """Correlations of the points `index` with all points; a copy."""
        if self.table is not None:
            return self.table[index]
        return self.function(chord(self.points[index], self.points), self.length)
