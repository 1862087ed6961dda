"""The convolutional encoder and decoder of the original studies (docs/systems.md)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.models.layers.grid_convolutions import REFINE, GridConv, Upsampling, halved_shape


class ConvEncoder(nn.Module):
    """Two convolutions (32 and 64 channels, stride 2): the original studies' encoder, up to its linear heads.

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
    """A linear layer and two transposed convolutions (64 to 32 to V channels, stride 2): the original studies' decoder.

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
