"""Affine coupling layers: invertible maps whose Jacobian is triangular.

    y = b x + (1 - b) (x exp(s) + t),    (s, t) = network(b x),    log |dy/dx| = sum (1 - b) s

(Dinh, Sohl-Dickstein and Bengio 2017, eq. 7 to 9), with a mask b that is 1 where x passes as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fieldcast.models.layers.networks import GridConv
from fieldcast.models.space import Space


class Coupling(nn.Module):
    """One layer. s is bounded, a learnt number times tanh (there, section 4.1), so that no draw overflows."""

    def __init__(self, network: nn.Module, mask: Bool[Tensor, "*shape"], moves: Bool[Tensor, "*shape"]):
        """`moves`: where values exist; elsewhere x passes as it is, under either mask."""
        super().__init__()
        self.network = network
        self.bound = nn.Parameter(torch.ones(mask.shape))
        mask = mask.to(moves.device)
        self.register_buffer("kept", (mask & moves).float(), persistent=False)
        self.register_buffer("moved", (~mask & moves).float(), persistent=False)

    def terms(self, x: Float[Tensor, "batch *shape"]) -> tuple[Tensor, Tensor]:
        """s and t, zero where x passes."""
        s, t = self.network(x * self.kept).to(x.dtype).unbind(1)
        return self.bound * torch.tanh(s) * self.moved, t * self.moved

    def forward(
        self, x: Float[Tensor, "batch *shape"]
    ) -> tuple[Float[Tensor, "batch *shape"], Float[Tensor, " batch"]]:
        """y and log |dy/dx|."""
        s, t = self.terms(x)
        return x * torch.exp(s) + t, s.flatten(1).sum(dim=1)

    def inverse(self, y: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        s, t = self.terms(y)
        return (y - t) * torch.exp(-s)


class Dense(nn.Module):
    """s and t of all components by one hidden layer; it starts at zero, so that a flow starts as the identity."""

    def __init__(self, shape: Sequence[int], hidden: int):
        super().__init__()
        self.shape, size = tuple(shape), math.prod(shape)
        self.inner, self.last = nn.Linear(size, hidden), nn.Linear(hidden, 2 * size)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch 2 *shape"]:
        return self.last(F.relu(self.inner(x.flatten(1)))).unflatten(1, (2, *self.shape))


class Convolutions(nn.Module):
    """s and t by two 3x3 convolutions and one of 1x1 between, which also see the static fields; it starts at zero."""

    def __init__(self, space: Space, hidden: int):
        super().__init__()
        variables, wraps = len(space.variables), space.wraps
        self.register_buffer("static", space.static, persistent=False)
        self.first = GridConv(variables + len(space.static), hidden, wraps)
        self.inner, self.last = nn.Conv2d(hidden, hidden, 1), GridConv(hidden, 2 * variables, wraps)
        nn.init.zeros_(self.last.convolution.weight)
        nn.init.zeros_(self.last.convolution.bias)

    def forward(self, x: Float[Tensor, "batch variable y x"]) -> Float[Tensor, "batch 2 variable y x"]:
        seen = torch.cat([x, self.static.expand(len(x), -1, -1, -1)], dim=1)
        out = self.last(F.relu(self.inner(F.relu(self.first(seen)))))
        return out.unflatten(1, (2, -1))


def checkerboard(shape: Sequence[int], odd: bool) -> Bool[Tensor, "..."]:
    """True on one colour of a board: of the last two axes, the next variable beginning with the other colour."""
    places = torch.zeros(tuple(shape), dtype=torch.long)
    for axis, size in enumerate(shape):
        places = places + torch.arange(size).view(-1, *[1] * (len(shape) - axis - 1))
    return (places % 2 == 1) == odd
