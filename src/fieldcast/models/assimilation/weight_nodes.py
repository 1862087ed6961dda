"""Nodes: cells at which weights are computed, and linear interpolation from them to all cells."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fieldcast.models.space import Space


class WeightNodes(nn.Module):
    """Nodes in every n-th row and column of a grid, in the last row, and in the last column unless longitude wraps.

    Yang, Kalnay, Hunt and Bowler (2009, "Weight interpolation for efficient data assimilation with the local ensemble
    transform Kalman filter"): weights vary so smoothly that they, not analyses, can be interpolated. Nodes that no
    existing cell needs are left out. The module moves with its model, and has no state.
    """

    def __init__(self, space: Space, spacing: int):
        super().__init__()
        height, width = space.shape
        rows, across = interpolation_matrix(height, spacing, wraps=False)
        columns, around = interpolation_matrix(width, spacing, wraps=space.wraps)
        needed = across.T @ space.exists.cpu().double() @ around > 0
        self.shape = len(rows), len(columns)
        points = space.points.cpu()[rows[:, None], columns][needed].double()
        tensors = {
            "index": needed.flatten().nonzero()[:, 0],
            "points": points / points.norm(dim=1, keepdim=True),
            "across": across,
            "around": around,
            "exists": space.exists.cpu(),
        }
        for name, value in tensors.items():
            self.register_buffer(name, value, persistent=False)

    index: Int[Tensor, " node"]  # indices of these nodes among those of all rows and columns
    points: Float[Tensor, "node 3"]
    across: Float[Tensor, "y node_row"]
    around: Float[Tensor, "x node_column"]
    exists: Bool[Tensor, "y x"]

    def __len__(self) -> int:
        return len(self.points)

    def spread(self, weights: Float[Tensor, "batch node *shape"]) -> Float[Tensor, "batch cell *shape"]:
        """Interpolate from the nodes to all cells; 0 where cells do not exist."""
        count, shape = len(weights), weights.shape[2:]
        full = weights.new_zeros(count, self.shape[0] * self.shape[1], shape.numel())
        full[:, self.index] = weights.flatten(2)
        full = self.across.to(weights) @ full.unflatten(1, self.shape).flatten(2)  # (B, Y, columns * values)
        full = self.around.to(weights) @ full.unflatten(2, (self.shape[1], -1))  # (B, Y, X, values)
        return (full * self.exists[:, :, None]).flatten(1, 2).unflatten(2, shape)


def interpolation_matrix(
    count: int, spacing: int, wraps: bool
) -> tuple[Int[Tensor, " node"], Float[Tensor, "cell node"]]:
    """Nodes among `count` cells of a row or column, and the matrix of linear interpolation to all of them."""
    nodes = torch.arange(0, count, spacing)
    if not wraps and nodes[-1] < count - 1:
        nodes = torch.cat([nodes, nodes.new_tensor([count - 1])])
    cell, bounds = torch.arange(count), torch.cat([nodes, nodes.new_tensor([count])])
    before = torch.searchsorted(nodes, cell, right=True) - 1
    share = (cell - bounds[before]) / (bounds[before + 1] - bounds[before]).double()
    matrix = torch.zeros(count, len(nodes), dtype=torch.double)
    matrix[cell, before] += 1 - share
    matrix[cell, (before + 1) % len(nodes)] += share
    return nodes, matrix
