"""Interpolation of observations, separately for each variable and day, without training data.

    x(p) = sum_i w_i(p) y_i

The weights w depend on the locations of the observations and not on their values, so data and variables with the
same mask are solved together. Coincident cells, such as a row at a pole, are one point. Everything is computed
on the CPU, in double precision.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import Delaunay, QhullError, cKDTree
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.gaussian.grid_points import GridPoints, observations
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

NUGGET = 0.01  # variance within a cell, of anomalies of variance 1
MIN_TREND = 1.56  # smallest constant c of a positive definite spline
MAX_DENSE_OBSERVATIONS = 2500  # largest number of observations for a global spline
NEIGHBOURS = 64  # number of observations of each local spline
POINTS_PER_CHUNK = 128  # points that are solved together: their working set fits in the processor's cache


class Interpolation(Solved):
    """Base class of interpolations, which map the observations of each mask to values at all points of the grid."""

    deterministic = True
    accepts_points = True  # points count as observations of the nearest cells
    learns_from_gaps = True

    def __init__(self, space: Space):
        super().__init__(space)
        # a tuple, because a module attribute would move with the model
        self._on_cpu = (GridPoints(space).to("cpu"),)

    @property
    def grid(self) -> GridPoints:
        """The distinct points of the grid, on the CPU whatever the device of the model."""
        return self._on_cpu[0]

    def solve(self, training: Iterable[Batch]) -> None:
        """Do nothing: the weights follow from the locations of the observations."""

    @abstractmethod
    def interpolate(
        self,
        index: Int[Tensor, " observed"],
        y: Float[Tensor, "rows observed"],
        error: Float[Tensor, " observed"],
    ) -> Float[Tensor, "rows place"]:
        """Interpolate observations y with error variance `error` at the points `index` to all points."""

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """The interpolated field, equal for all members; the climatology, 0, if nothing is observed."""
        c = in_nearest_cells(c)
        observed, mask = c.observations()
        # each variable is a separate row
        y, mask = (tensor.cpu().flatten(0, 1)[:, None] for tensor in (observed, mask))
        field = torch.zeros(len(y), len(self.grid), dtype=torch.float64)
        for group in observations(self.grid, y, mask):
            if len(group.index):
                field[group.datum] = self.interpolate(group.index, group.y, c.noise**2 / group.count)
        x = self.grid.scatter(field).unflatten(0, (c.count, -1)).to(observed)
        return x[:, None].expand(-1, streams.members, -1, -1, -1)


class Nearest(Interpolation):
    """x(p) = y_i, i = argmin_i |p - p_i|, the distance on the sphere."""

    def interpolate(
        self,
        index: Int[Tensor, " observed"],
        y: Float[Tensor, "rows observed"],
        error: Float[Tensor, " observed"],
    ) -> Float[Tensor, "rows place"]:
        points = self.grid.points.numpy()
        _, nearest = cKDTree(points[index.numpy()]).query(points)
        return y[:, torch.from_numpy(nearest)]


class Linear(Nearest):
    """Linear on the Delaunay triangles of the observations in longitude and latitude, nearest outside them.

    Where longitude wraps, the plane of longitude and latitude is extended by half a turn on both sides. An
    observed pole counts as observed at each of its cells: otherwise the triangles beside it would extend to a
    corner of the plane.
    """

    def __init__(self, space: Space):
        super().__init__(space)
        x, y, z = space.points.cpu().double().unbind(-1)
        latitude = torch.atan2(z, torch.hypot(x, y)).mean(1)
        middle = len(latitude) // 2  # a row where longitude is defined
        longitude = torch.atan2(y[middle], x[middle])
        longitude = (longitude - longitude[0]) % (2 * math.pi)
        grid = torch.stack(torch.meshgrid(longitude, latitude, indexing="xy"), dim=-1)
        # longitude and latitude of each cell that exists
        self.plane = grid.flatten(0, 1)[self.grid.cells].numpy()
        self.first = np.unique(self.grid.place.numpy(), return_index=True)[1]  # the first cell of each point

    def interpolate(
        self,
        index: Int[Tensor, " observed"],
        y: Float[Tensor, "rows observed"],
        error: Float[Tensor, " observed"],
    ) -> Float[Tensor, "rows place"]:
        number = torch.full((len(self.grid),), -1)
        number[index] = torch.arange(len(index))
        source = number[self.grid.place].numpy()  # index of the observation at the point of each cell, or -1
        (cells,) = np.nonzero(source >= 0)
        corners, source = self.plane[cells], source[cells]
        if self.space.wraps:
            turns = (-2 * math.pi, 0.0, 2 * math.pi)
            corners = np.concatenate([corners + np.array([turn, 0.0]) for turn in turns])
            near = (corners[:, 0] >= -math.pi) & (corners[:, 0] <= 3 * math.pi)
            corners, source = corners[near], np.tile(source, 3)[near]
        nearest = super().interpolate(index, y, error)
        try:
            triangles = Delaunay(corners)
        except (QhullError, ValueError):  # fewer than three observations, or all on one line
            return nearest
        linear = LinearNDInterpolator(triangles, y.T.numpy()[source])(self.plane[self.first])
        linear = torch.from_numpy(linear).T
        return torch.where(linear.isnan(), nearest, linear)


class ThinPlate(Interpolation):
    """The smoothing thin-plate spline, restricted to the sphere (Duchon 1977; Wahba 1990, section 2.4).

        x(p) = sum_i w_i S(p, p_i),    (S + diag(e)) w = y
        S(p, q) = r^2 log r + c (1 + p . q),    r = |p - q|

    e = smoothing <r^2> (variance of the observation error and of the variation within a cell), with <r^2> the mean
    square distance of the points from their centre, 1 for the globe. The chord r has neither a seam at the date line
    nor a pole; longitude and latitude with periodic copies have both. r^2 log r alone leaves a constant and a trend
    (1, p) unpenalised, which few observations, or observations on one parallel, do not determine; here both have a
    prior variance, through c. On the sphere S is positive definite for c > 1.56 (where the coefficient of its first
    Legendre polynomial changes sign), and c -> infinity is the classical spline. With many observations each point is
    solved locally, from the nearest ones.

    Parameters
    ----------
    space
        Grid of the states.
    trend
        The constant c of the kernel.
    """

    smoothing: Tensor
    choices = MappingProxyType({"smoothing": (0.0, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)})

    def __init__(self, space: Space, trend: float = 2.0):
        super().__init__(space)
        if trend < MIN_TREND:
            raise InputError(
                f"trend = {trend:g}: a spline needs at least {MIN_TREND} to be positive definite."
            )
        self.trend = trend
        centre = self.grid.points.mean(0)
        self.scale = (self.grid.points - centre).square().sum(1).mean()  # mean r^2: 1, or less for a region
        self.register_buffer("smoothing", torch.tensor(0.1))

    def kernel(
        self, p: Float[Tensor, "*lead p 3"], q: Float[Tensor, "*lead q 3"]
    ) -> Float[Tensor, "*lead p q"]:
        """S(p, q)."""
        cosine = p @ q.mT
        square = (2 - 2 * cosine).clamp(min=1e-30)  # r^2, with 0 log 0 = 0
        return square.log().mul_(square / 2).add_(cosine, alpha=self.trend).add_(self.trend)

    def interpolate(
        self,
        index: Int[Tensor, " observed"],
        y: Float[Tensor, "rows observed"],
        error: Float[Tensor, " observed"],
    ) -> Float[Tensor, "rows place"]:
        points, p = self.grid.points, self.grid.points[index]
        e = float(self.smoothing) * self.scale * (NUGGET + error) + 1e-12 * self.trend
        if len(index) <= MAX_DENSE_OBSERVATIONS:
            factor = torch.linalg.cholesky(self.kernel(p, p) + torch.diag(e))
            w = torch.cholesky_solve(y.T, factor)
            return torch.cat([self.kernel(chunk, p) @ w for chunk in points.split(POINTS_PER_CHUNK)]).T
        near = torch.from_numpy(cKDTree(p.numpy()).query(points.numpy(), k=NEIGHBOURS)[1])
        values = []
        for chunk, i in zip(points.split(POINTS_PER_CHUNK), near.split(POINTS_PER_CHUNK), strict=True):
            factor = torch.linalg.cholesky(self.kernel(p[i], p[i]) + torch.diag_embed(e[i]))
            weight = torch.cholesky_solve(self.kernel(p[i], chunk[:, None]), factor)[..., 0]
            values.append(torch.stack([(weight * row[i]).sum(1) for row in y]))
        return torch.cat(values, dim=1)


def in_nearest_cells(c: Context) -> Context:
    """The context with its points as observations of the nearest cells: the mean, where a cell has several."""
    if c.points is None or c.observed is None or c.mask is None:
        return c
    points, cells = c.points, c.observed[0, 0].numel()
    nearest = points.cells.gather(1, points.weights.argmax(1, keepdim=True))[:, 0]
    value = (points.datum * c.observed.shape[1] + points.variable) * cells + nearest
    total, count = (c.observed * c.mask).flatten().double(), c.mask.flatten().double()
    total = total.index_add(0, value, points.y.double())
    count = count.index_add(0, value, torch.ones_like(points.y, dtype=torch.float64))
    observed = (total / count.clamp(min=1)).to(c.observed).view_as(c.observed)
    return replace(c, observed=observed, mask=(count > 0).view_as(c.mask), points=None)
