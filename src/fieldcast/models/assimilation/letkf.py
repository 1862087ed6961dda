"""The local ensemble transform Kalman filter: a Kalman filter with the covariance of its members, cell by cell.

`ensemble_weights` has the equations. All variables of a cell share its weights, which come from the observations of all
variables within reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fieldcast.errors import InputError
from fieldcast.models.assimilation.ensemble_weights import (
    Departures,
    departures,
    local_weights,
    move_members,
    perturbations,
    rotate_members,
)
from fieldcast.models.assimilation.filter import Filter, Members, Memory
from fieldcast.models.core import Context
from fieldcast.models.gaussian.conditioning import observed_data
from fieldcast.models.gaussian.covariance_terms import chord, gaspari_cohn
from fieldcast.models.gaussian.grid_points import GridPoints
from fieldcast.models.gaussian.kalman_gain import Operator
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

ERRORS, ROTATION = range(2)  # streams of an update
MAX_NODES_IN_MEMORY = 4096  # nodes, summed over cycles, whose weights are in memory: 52 MB for 40 members


class LETKF(Filter):
    """The local ensemble transform Kalman filter (Hunt, Kostelich and Szunyogh 2007); see `ensemble_weights`.

    T is the taper of Gaspari and Cohn of the chord between a cell and an observation. Without localisation and
    inflation the mean and covariance of the analysis are the Kalman filter's, for the covariance of the members.

    Tuned: `localisation`, the chord in km from which an observation has no weight (0: all observations count alike in
    all cells); `relaxation` a; `inflation` i.

    Parameters
    ----------
    space
        Grid of the states.
    members
        Number of members for tuning and cycling; by default the same as for the other filters.
    node_spacing
        Distance n of the rows and columns in which weights are computed; they are interpolated between them.
    rotation
        Whether each analysis rotates the members at random about their mean, alike in all cells: it keeps a few
        members of a nearly deterministic model from becoming outliers (Sakov and Oke 2008, "Implications of the form
        of the ensemble transformation in the ensemble square root filters").
    perturbed
        Whether each member is updated by its own perturbed observations, instead of the symmetric square root: without
        localisation this is the stochastic ensemble Kalman filter.
    """

    start: Mapping[str, float] = MappingProxyType(
        {"localisation": 2000.0, "relaxation": 0.4, "inflation": 1.0}
    )
    accepts_points = True
    needs_spread = True
    choices: Mapping[str, Sequence[float]] = MappingProxyType(
        {
            "localisation": (1000.0, 1500.0, 2000.0, 3000.0),
            "relaxation": (0.2, 0.4, 0.6, 0.8, 0.9),
            "inflation": (1.0, 1.05, 1.1),
        }
    )

    def __init__(
        self, space: Space, members: int | None = None, node_spacing: int = 1,
        rotation: bool = False, perturbed: bool = False,
    ):  # fmt: skip
        super().__init__(space)
        if members is not None and members < 2:
            raise InputError(
                f"model.members = {members} should be 2 or more: the ensemble covariance needs that many."
            )
        self.ensemble_size = members
        if node_spacing < 1:
            raise InputError(
                f"model.node_spacing = {node_spacing} should be 1 or more: the distance between nodes, in cells."
            )
        self.rotation, self.perturbed = rotation, perturbed
        self.grid, self.nodes = GridPoints(space), WeightNodes(space, node_spacing)
        for name, value in self.start.items():
            self.register_buffer(name, torch.tensor(value))

    def update(
        self, background: Members, c: Context, memory: Memory, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        return move_members(background, self.weights(background, c, streams)), memory

    def weights(
        self, background: Members, c: Context, streams: RandomStreams
    ) -> Float[Tensor, "batch cell members members"]:
        """The weights w_jm of each cell, j before m.

        They are 0 where cells do not exist, without observations, and, unless they rotate, where none is within reach.
        `move_members` applies them to the background or to other fields, such as the streamfunction of its model.
        """
        count, members = background.shape[:2]
        if members < 2:
            raise InputError("the covariance of a background needs at least 2 members: give more.")
        w = background.new_zeros(count, self.space.exists.numel(), members, members)
        values = self.grid.gather(background).flatten(2)
        groups = observed_data(c, self.grid, range(len(self.space.variables)))
        for observed in (group for group in groups if len(group.error)):
            numbers = torch.arange(len(observed.datum), device=w.device)
            for some in numbers.split(max(1, MAX_NODES_IN_MEMORY // len(self.nodes))):
                datum = observed.datum[some]
                h = observed.h(values[datum])
                to_members = departures(
                    h, observed.y[some], observed.error, float(self.inflation), values.dtype
                )
                w[datum] = self._of(to_members, observed.h, streams.of_data(datum)).to(w)
        return w

    def _of(
        self, observed: Departures, h: Operator, streams: RandomStreams
    ) -> Float[Tensor, "batch cell members members"]:
        """The weights of all cells for data that share H."""
        eta = perturbations(streams.fork(ERRORS), observed.d.shape[1]) if self.perturbed else None
        points = h.located(self.grid.points)
        w = local_weights(
            observed,
            lambda part: self._taper(points[part]),
            float(self.inflation),
            float(self.relaxation),
            eta,
        )
        w = self.nodes.spread(w) if self.localisation > 0 else w
        w = rotate_members(w, streams.fork(ROTATION)) if self.rotation else w
        return w * self.space.exists.flatten()[:, None, None]

    def _taper(self, points: Float[Tensor, "observed 3"]) -> Float[Tensor, "node observed"]:
        """T of observations, a row for each node; the row that all cells share if there is no localisation."""
        if self.localisation == 0:
            return points.new_ones(1, len(points))
        return gaspari_cohn(chord(self.nodes.points, points), float(self.localisation))


# Nodes: cells at which weights are computed, and linear interpolation from them to all cells.


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
