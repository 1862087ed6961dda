"""Convolutions on a grid that may wrap round the globe and whose sizes need not be even.

GridConv pads longitude circularly where it wraps, and repeats the edge elsewhere; GridTranspose and GridNearest, which
refine, have no seam there either. All networks on a grid are built from these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def pad(x: Float[Tensor, "batch c y x"], width: int, wraps: bool) -> Float[Tensor, "batch c y2 x2"]:
    """Pad by `width` cells on each side: circularly in longitude where it wraps, else by the nearest value."""
    if width == 0:
        return x
    x = pad_circularly(x, width) if wraps else pad_by_edge(x, width, dim=-1)
    return pad_by_edge(x, width, dim=-2)


def pad_circularly(x: Float[Tensor, "batch c y x"], width: int) -> Float[Tensor, "batch c y x2"]:
    """Pad longitude circularly."""
    # F.pad would do the same, but its gradient takes two to ten times as long on a CPU
    return torch.cat([x[..., -width:], x, x[..., :width]], dim=-1)


def pad_by_edge(x: Float[Tensor, "batch c y x"], width: int, dim: int) -> Float[Tensor, "batch c y2 x2"]:
    """Pad a dimension by its first and its last value."""
    first, last = (x.narrow(dim, index, 1) for index in (0, x.shape[dim] - 1))
    return torch.cat([*[first] * width, x, *[last] * width], dim=dim)


class GridConv(nn.Module):
    """A convolution whose output has the size ceil(input size / stride).

    Parameters
    ----------
    inputs, outputs
        Numbers of channels.
    wraps
        Whether longitude wraps.
    kernel
        Width of the kernel in cells, odd.
    stride
        Distance between the cells of the output, in cells of the input.
    """

    def __init__(self, inputs: int, outputs: int, wraps: bool, kernel: int = 3, stride: int = 1):
        super().__init__()
        self.wraps, self.width = wraps, kernel // 2
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride)

    def forward(self, x: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch outputs y2 x2"]:
        return self.convolution(pad(x, self.width, self.wraps))


class GridTranspose(nn.Module):
    """A transposed convolution that doubles both sizes; where longitude wraps it has no seam."""

    def __init__(self, inputs: int, outputs: int, wraps: bool):
        super().__init__()
        self.wraps = wraps
        self.convolution = nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "batch c y x"]) -> Float[Tensor, "batch c2 y2 x2"]:
        if not self.wraps:
            return self.convolution(x)
        return self.convolution(pad_circularly(x, 1))[..., 2:-2]


class GridNearest(nn.Module):
    """A convolution after doubling both sizes by the nearest value.

    Unlike a transposed convolution it makes no checkerboard pattern: Odena, Dumoulin and Olah (2016), "Deconvolution
    and checkerboard artifacts".
    """

    def __init__(self, inputs: int, outputs: int, wraps: bool):
        super().__init__()
        self.convolution = GridConv(inputs, outputs, wraps)

    def forward(self, x: Float[Tensor, "batch c y x"]) -> Float[Tensor, "batch c2 y2 x2"]:
        return self.convolution(F.interpolate(x, scale_factor=2, mode="nearest"))


Upsampling = Literal["transposed", "nearest"]
REFINE: Mapping[Upsampling, type[nn.Module]] = MappingProxyType(
    {"transposed": GridTranspose, "nearest": GridNearest}
)


def halved_shape(shape: tuple[int, int], times: int) -> tuple[int, int]:
    """Size after `times` convolutions of stride 2."""
    for _ in range(times):
        shape = (-(-shape[0] // 2), -(-shape[1] // 2))
    return shape


# The convolutional encoder and decoder of the reports (docs/systems.md).


class ConvEncoder(nn.Module):
    """Two convolutions (32 and 64 channels, stride 2): the reports' encoder, up to its linear heads.

    Parameters
    ----------
    inputs
        Number of channels of the input.
    shape
        Numbers (Y, X) of cells of the input.
    wraps
        Whether longitude wraps.
    channels
        Channels of each convolution.
    """

    def __init__(self, inputs: int, shape: tuple[int, int], wraps: bool, channels: Sequence[int] = (32, 64)):
        super().__init__()
        sizes = [inputs, *channels]
        self.layers = nn.ModuleList(GridConv(i, o, wraps, stride=2) for i, o in pairwise(sizes))
        y, x = halved_shape(shape, len(channels))
        self.channels, self.features = channels[-1], channels[-1] * y * x

    def features_of(self, x: Float[Tensor, "batch c y x"]) -> Float[Tensor, "batch c2 y2 x2"]:
        """Fields of features on the coarsest cells."""
        for layer in self.layers:
            x = F.relu(layer(x))
        return x

    def forward(self, x: Float[Tensor, "batch c y x"]) -> Float[Tensor, "batch features"]:
        return self.features_of(x).flatten(1)


class ConvDecoder(nn.Module):
    """A linear layer and two transposed convolutions (64 to 32 to V channels, stride 2): the reports' decoder.

    Each convolution doubles the size; odd sizes are reached by cropping.

    Parameters
    ----------
    inputs
        Size of z.
    outputs
        Number of channels of the output.
    shape
        Numbers (Y, X) of cells of the output.
    wraps
        Whether longitude wraps.
    channels
        Channels of the linear layer and of each hidden level.
    extra
        Channels of a coarse field that is concatenated to those of the linear layer.
    upsample
        Upsampling of a level: "transposed" convolutions, or the "nearest" value and a convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, shape: tuple[int, int], wraps: bool, channels: Sequence[int] = (64, 32),
        extra: int = 0, upsample: Upsampling = "transposed",
    ):  # fmt: skip
        super().__init__()
        self.shape, self.coarse = shape, (channels[0], *halved_shape(shape, len(channels)))
        self.linear = nn.Linear(inputs, channels[0] * self.coarse[1] * self.coarse[2])
        sizes = [channels[0] + extra, *channels[1:], outputs]
        self.layers = nn.ModuleList(REFINE[upsample](i, o, wraps) for i, o in pairwise(sizes))

    def forward(
        self, z: Float[Tensor, "batch inputs"], coarse: Float[Tensor, "batch c y2 x2"] | None = None
    ) -> Float[Tensor, "batch outputs y x"]:
        x = F.relu(self.linear(z)).unflatten(1, self.coarse)
        if coarse is not None:
            x = torch.cat([x, coarse], dim=1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)[..., : self.shape[0], : self.shape[1]]
