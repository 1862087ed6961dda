"""Affine coupling layers: invertible maps whose Jacobian is triangular.

    y = b x + (1 - b) (x exp(s) + t),    (s, t) = network(b x),    log |dy/dx| = sum (1 - b) s

(Dinh, Sohl-Dickstein and Bengio 2017, eq. 7 to 9), with a mask b that is 1 where x passes unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fieldcast.models.layers.grid_convolutions import GridConv
from fieldcast.models.space import Space


class Coupling(nn.Module):
    """A coupling layer; s is a learnt factor times tanh (ibid., section 4.1), bounded so that no draw overflows.

    Parameters
    ----------
    network
        Maps b x (batch, *shape) to s and t, (batch, 2, *shape).
    mask
        The mask b.
    exists
        Mask of the values that exist; others pass unchanged, whatever the mask.
    """

    def __init__(self, network: nn.Module, mask: Bool[Tensor, "*shape"], exists: Bool[Tensor, "*shape"]):
        super().__init__()
        self.network = network
        self.bound = nn.Parameter(torch.ones(mask.shape))
        mask = mask.to(exists.device)
        self.register_buffer("unchanged", (mask & exists).float(), persistent=False)
        self.register_buffer("transformed", (~mask & exists).float(), persistent=False)

    def terms(
        self, x: Float[Tensor, "batch *shape"]
    ) -> tuple[Float[Tensor, "batch *shape"], Float[Tensor, "batch *shape"]]:
        """s and t, which are 0 where x passes unchanged."""
        s, t = self.network(x * self.unchanged).to(x.dtype).unbind(1)
        return self.bound * torch.tanh(s) * self.transformed, t * self.transformed

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
    """Dense network for s and t with one hidden layer; zero at first, so that a flow starts as the identity."""

    def __init__(self, shape: Sequence[int], hidden: int, outputs: int = 2):
        super().__init__()
        self.shape, size = (outputs, *shape), math.prod(shape)
        self.inner, self.last = nn.Linear(size, hidden), nn.Linear(hidden, outputs * size)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch outputs *shape"]:
        return self.last(F.relu(self.inner(x.flatten(1)))).unflatten(1, self.shape)


class TwoDense(nn.Module):
    """A dense network for s and another for t."""

    def __init__(self, shape: Sequence[int], hidden: int):
        super().__init__()
        self.scale, self.translation = Dense(shape, hidden, 1), Dense(shape, hidden, 1)

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch 2 *shape"]:
        return torch.cat([self.scale(x), self.translation(x)], dim=1)


class Convolutions(nn.Module):
    """Convolutional network for s and t: 3x3, 1x1, 3x3; it also reads the static fields, and is zero at first."""

    def __init__(self, space: Space, hidden: int):
        super().__init__()
        variables, wraps = len(space.variables), space.wraps
        self.register_buffer("static", space.static, persistent=False)
        self.first = GridConv(variables + len(space.static), hidden, wraps)
        self.inner, self.last = nn.Conv2d(hidden, hidden, 1), GridConv(hidden, 2 * variables, wraps)
        nn.init.zeros_(self.last.convolution.weight)
        nn.init.zeros_(self.last.convolution.bias)

    def forward(self, x: Float[Tensor, "batch variable y x"]) -> Float[Tensor, "batch 2 variable y x"]:
        inputs = torch.cat([x, self.static.expand(len(x), -1, -1, -1)], dim=1)
        out = self.last(F.relu(self.inner(F.relu(self.first(inputs)))))
        return out.unflatten(1, (2, -1))


def checkerboard(shape: Sequence[int], odd: bool) -> Bool[Tensor, "..."]:
    """True on one colour of a checkerboard over the last two axes; consecutive variables alternate in colour."""
    index_sum = torch.zeros(tuple(shape), dtype=torch.long)
    for axis, size in enumerate(shape):
        index_sum = index_sum + torch.arange(size).view(-1, *[1] * (len(shape) - axis - 1))
    return (index_sum % 2 == 1) == odd
