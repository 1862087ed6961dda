"""The distinct points of a grid, and the observations at them.

The cells of a row at a pole are one point. As separate points they would make every covariance singular.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fieldcast.models.space import Space

SAME_POINT_CHORD = 1e-5  # chord, in radii of the Earth (64 m), within which two cells are one point


class GridPoints(nn.Module):
    """The distinct points where values exist; coincident cells, such as a row at a pole, are one point.

    A state (V, Y, X) becomes (V, P), the mean over the cells of each point; the inverse repeats the value in each of
    these cells, and is 0 in cells that do not exist. It is a module, so that it moves with its model, and has no state.
    """

    def __init__(self, space: Space):
        super().__init__()
        self.shape = space.shape
        cells = space.exists.flatten().nonzero()[:, 0]  # (E,)
        of_cells = space.points.flatten(0, 1)[cells].double()
        _, group = torch.unique((of_cells / SAME_POINT_CHORD).round().long(), dim=0, return_inverse=True)
        count = int(group.max()) + 1
        numbers = torch.arange(len(group), device=group.device)
        first = torch.full_like(numbers[:count], len(group)).scatter_reduce_(0, group, numbers, reduce="amin")
        order = torch.argsort(first)  # points in the order of their first cell
        place = torch.argsort(order)[group]  # (E,)
        points = of_cells[first[order]]
        area = of_cells.new_zeros(count).index_add_(0, place, space.area.flatten()[cells].double())
        self.register_buffer("cells", cells, persistent=False)
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("points", points / points.norm(dim=1, keepdim=True), persistent=False)  # (P, 3)
        # number of cells of a point
        self.register_buffer("size", torch.bincount(place).double(), persistent=False)
        self.register_buffer("area", area, persistent=False)  # sum over the cells of a point
        # squared radius of gyration: 1 for a globe
        self.extent = float((points - points.mean(0)).square().sum(1).mean())
        self.whole = count == space.area.numel()  # every cell is a point of its own

    def __len__(self) -> int:
        return len(self.points)

    def total(self, x: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead p"]:
        """Sums over the cells of each point."""
        flat = x.flatten(-2)
        if self.whole:
            return flat
        flat = flat[..., self.cells]
        if len(self) == len(self.cells):
            return flat
        return flat.new_zeros(*flat.shape[:-1], len(self)).index_add_(-1, self.place, flat)

    def gather(self, x: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead p"]:
        """Means over the cells of each point."""
        return self.total(x) / self.size.to(x.dtype)

    def gather_observed(
        self, x: Float[Tensor, "*lead y x"], observed: Bool[Tensor, "*lead y x"]
    ) -> tuple[Float[Tensor, "*lead p"], Bool[Tensor, "*lead p"]]:
        """Means over the observed cells of each point, 0 without any, and the mask of points with observed cells."""
        count = self.total(observed.to(x))
        return self.total(torch.where(observed, x, 0.0)) / count.clamp(min=1), count > 0

    def scatter(self, z: Float[Tensor, "*lead p"]) -> Float[Tensor, "*lead y x"]:
        """Write the values of points to their cells."""
        if self.whole:
            return z.unflatten(-1, self.shape)
        flat = z.new_zeros(*z.shape[:-1], self.shape[0] * self.shape[1])
        flat[..., self.cells] = z[..., self.place]
        return flat.unflatten(-1, self.shape)


@dataclass(frozen=True, eq=False)
class ObservedPoints:
    """Data of a batch that share a mask; at a point with several observed cells, their mean is observed."""

    datum: Int[Tensor, " rows"]  # indices in the batch
    # indices into (V, P) flattened; the variables of a point next to each other
    index: Int[Tensor, " observed"]
    y: Float[Tensor, "rows observed"]
    # number of observed cells, which divides the error variance of their mean
    count: Float[Tensor, " observed"]


def observations(
    grid: GridPoints, observed: Float[Tensor, "batch variable y x"], mask: Bool[Tensor, "batch variable y x"]
) -> list[ObservedPoints]:
    """Split a batch into groups with equal masks, which share a factorisation."""
    distinct, inverse = torch.unique(mask.flatten(1), dim=0, return_inverse=True)
    groups = []
    for number, pattern in enumerate(distinct):
        datum = (inverse == number).nonzero()[:, 0]
        count = grid.total(pattern.unflatten(0, mask.shape[1:]).double()).flatten()
        p, v = count.unflatten(0, (-1, len(grid))).T.nonzero().unbind(1)
        index = v * len(grid) + p
        y = grid.total((observed[datum] * mask[datum]).double()).flatten(1)[:, index] / count[index]
        groups.append(ObservedPoints(datum, index, y, count[index]))
    return groups
