"""A small U-Net: residual blocks, a dense layer at the coarsest level, learned positions and optional noise by FiLM.

Ronneberger et al. (2015); FiLM: Perez et al. (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.errors import InputError
from fieldcast.models.layers.grid_convolutions import GridConv, halved_shape

GROUPS = 8  # number of groups of channels in a group normalisation


class ResidualBlock(nn.Module):
    """skip(x) + conv(silu(film(conv(silu(norm(x)))))): the noise scales and shifts the inner features.

    Only the branch is normalised, which keeps training stable; the skip connection is not, because the size of an
    anomaly must reach the output. The second convolution starts at zero, so that a deep network starts as a shallow
    one.

    Parameters
    ----------
    inputs, outputs
        Numbers of channels.
    wraps
        Whether longitude wraps.
    noise
        Number of noise inputs; 0: none.
    """

    def __init__(self, inputs: int, outputs: int, wraps: bool, noise: int):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, inputs)
        self.conv1, self.conv2 = GridConv(inputs, outputs, wraps), GridConv(outputs, outputs, wraps)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.film = nn.Linear(noise, 2 * outputs) if noise else None
        nn.init.zeros_(self.conv2.convolution.weight)

    def forward(
        self, x: Float[Tensor, "batch inputs y x"], noise: Float[Tensor, "batch noise"] | None
    ) -> Float[Tensor, "batch outputs y x"]:
        h = self.conv1(F.silu(self.norm(x)))
        if self.film is not None and noise is not None:
            scale, shift = self.film(noise)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class Mixing(nn.Module):
    """A dense layer over all cells of the coarsest level, shared by all channels: it connects distant cells."""

    def __init__(self, channels: int, cells: int):
        super().__init__()
        self.norm, self.dense = nn.GroupNorm(GROUPS, channels), nn.Linear(cells, cells)
        nn.init.zeros_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    def forward(self, x: Float[Tensor, "batch c y x"]) -> Float[Tensor, "batch c y x"]:
        return x + self.dense(self.norm(x).flatten(2)).unflatten(2, x.shape[2:])


class UNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015) on any size of grid.

    The last layer starts at zero, so that a correction starts at zero.

    Parameters
    ----------
    inputs, outputs
        Numbers of channels.
    shape
        Numbers (Y, X) of cells.
    wraps
        Whether longitude wraps.
    channels
        Channels of each level, from the finest to the coarsest; their number is the number of levels.
    noise
        Number of noise inputs, which every block receives by FiLM, equal in all cells.
    fields
        Number of noise fields on the cells of the coarsest level, whose shape is `coarsest`: on the finest cells they
        would excite waves that no state has.
    positions
        Number of learned position channels.
    patch
        The network operates on patches of `patch` x `patch` cells, whose values are channels: weather is smooth between
        neighbouring cells, and the finest level dominates the cost.
    padded
        Whether the grid is extended, after its last cells, to a multiple of the width of a cell of the coarsest level,
        so that every level is exactly halved: 28 x 28 cells become 32 x 32 for five levels. The output is cut to the
        grid.
    """

    def __init__(
        self, inputs: int, outputs: int, shape: tuple[int, int], wraps: bool,
        channels: Sequence[int] = (64, 128), noise: int = 0, fields: int = 0, positions: int = 4, patch: int = 2,
        padded: bool = False,
    ):  # fmt: skip
        super().__init__()
        if not channels or any(number < 1 or number % GROUPS for number in channels):
            raise InputError(
                f"model.channels = {list(channels)} should be multiples of {GROUPS}, one for each level: they are "
                f"normalised in {GROUPS} groups."
            )
        if not 1 <= patch <= min(shape):
            raise InputError(
                f"model.patch = {patch} should be 1 to {min(shape)}: the width of a patch, in cells of the grid."
            )
        self.patch, self.wraps = patch, wraps
        self.block = patch * 2 ** (len(channels) - 1) if padded else patch
        cells = self.block // patch
        shape = (-(-shape[0] // self.block) * cells, -(-shape[1] // self.block) * cells)
        self.position = nn.Parameter(0.1 * torch.randn(positions, *shape))
        self.embed = nn.Sequential(nn.Linear(noise, 64), nn.SiLU(), nn.Linear(64, 64)) if noise else None
        film = 64 if noise else 0
        self.first = GridConv(inputs * patch**2 + positions, channels[0], wraps)
        self.down = nn.ModuleList(ResidualBlock(c, c, wraps, film) for c in channels[:-1])
        self.shrink = nn.ModuleList(GridConv(i, o, wraps, stride=2) for i, o in pairwise(channels))
        self.coarsest = y, x = halved_shape(shape, len(channels) - 1)
        self.noise_projection = nn.Conv2d(fields, channels[-1], 1, bias=False) if fields else None
        self.middle = nn.ModuleList(ResidualBlock(channels[-1], channels[-1], wraps, film) for _ in range(2))
        self.mixing = Mixing(channels[-1], y * x)
        self.up = nn.ModuleList(
            ResidualBlock(i + o, o, wraps, film)
            for i, o in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.last = GridConv(channels[0], outputs * patch**2, wraps)
        nn.init.zeros_(self.last.convolution.weight)
        nn.init.zeros_(self.last.convolution.bias)

    def forward(
        self, x: Float[Tensor, "batch c y x"], noise: Float[Tensor, "batch noise"] | None = None,
        fields: Float[Tensor, "batch fields y2 x2"] | None = None,
    ) -> Float[Tensor, "batch outputs y x"]:  # fmt: skip
        film = self.embed(noise) if self.embed is not None and noise is not None else None
        y_size, x_size = x.shape[-2:]
        x = F.pixel_unshuffle(whole_blocks(x, self.block, self.wraps), self.patch)
        x = self.first(torch.cat([x, self.position.expand(len(x), -1, -1, -1)], dim=1))
        skips = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            x = block(x, film)
            skips.append(x)
            x = shrink(x)
        if self.noise_projection is not None and fields is not None:
            x = x + self.noise_projection(fields)
        x = self.middle[1](self.mixing(self.middle[0](x, film)), film)
        for block in self.up:
            fine = skips.pop()
            x = F.interpolate(x, size=fine.shape[-2:], mode="nearest")
            x = block(torch.cat([x, fine], dim=1), film)
        return F.pixel_shuffle(self.last(F.silu(x)), self.patch)[..., :y_size, :x_size]


def whole_blocks(x: Float[Tensor, "batch c y x"], block: int, wraps: bool) -> Float[Tensor, "batch c y2 x2"]:
    """Pad after the last cells to multiples of `block`: circularly in longitude where it wraps, else by the edge."""
    lacking_y, lacking_x = (-size % block for size in x.shape[-2:])
    beyond = (
        x[..., torch.arange(lacking_x) % x.shape[-1]]
        if wraps
        else x[..., -1:].expand(*x.shape[:-1], lacking_x)
    )
    x = torch.cat([x, beyond], dim=-1)
    return torch.cat([x, x[..., -1:, :].expand(*x.shape[:-2], lacking_y, x.shape[-1])], dim=-2)
