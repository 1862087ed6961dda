"""Decoders without a context: the parameters of p(x | z) from z alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.models.conditional import Decoder
from fieldcast.models.core import Context
from fieldcast.models.layers.batch_norm import BatchNorm
from fieldcast.models.layers.encoder_decoder import ConvDecoder
from fieldcast.models.layers.grid_convolutions import halved_shape
from fieldcast.models.options import Count, Counts
from fieldcast.models.space import Space


class DenseDecoder(Decoder):
    """Hidden layers with ReLU (two of 512 in the original study, docs/systems.md) and a linear output layer.

    Parameters
    ----------
    space
        Grid of the states.
    latent
        Size of z.
    hidden
        Sizes of the hidden layers.
    """

    def __init__(self, space: Space, latent: Count, hidden: Counts = (512, 512)):
        super().__init__()
        self.state_shape, self.latent = space.state_shape, latent
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise((latent, *hidden)))
        self.last = nn.Linear(hidden[-1], math.prod(space.state_shape))

    def forward(
        self, z: Float[Tensor, "batch members latent"], c: Context
    ) -> Float[Tensor, "batch members variable y x"]:
        h = z
        for layer in self.layers:
            h = F.relu(layer(h))
        return self.last(h).float().unflatten(-1, self.state_shape)


class ConvolutionDecoder(Decoder):
    """A linear layer and two transposed convolutions of stride 2, the mirror of the original studies' encoder.

    Parameters
    ----------
    space
        Grid of the states.
    latent
        Size of z.
    channels
        Channels of the linear layer and of each hidden level; their number is the number of convolutions.
    """

    def __init__(self, space: Space, latent: Count, channels: Counts = (64, 32)):
        super().__init__()
        self.latent = latent
        self.network = ConvDecoder(latent, len(space.variables), space.shape, space.wraps, channels)

    def forward(
        self, z: Float[Tensor, "batch members latent"], c: Context
    ) -> Float[Tensor, "batch members variable y x"]:
        return self.network(z.flatten(0, 1)).float().unflatten(0, z.shape[:2])


class TransposedDecoder(Decoder):
    """The original study's decoder of an autodecoder, for any size of state.

    Transposed convolutions z (1 x 1) -> 128 channels (7 x 7) -> 64 (4 x 4, stride 2, padding 1) -> V (same), with batch
    norm and ReLU between them and a sigmoid at the end; then Linear(784 -> 784), which all variables share. For other
    sizes the first convolution yields a quarter of the state in each direction, and the output is cropped. For states
    of more than `largest` cells a scale and a shift of each value replace the last layer, which would not fit in
    memory.

    Parameters
    ----------
    space
        Grid of the states.
    latent
        Size of z.
    channels
        Channels after the first and after the second convolution.
    largest
        Largest number of cells with a dense last layer.
    """

    def __init__(
        self, space: Space, latent: Count = 100, channels: Sequence[int] = (128, 64), largest: int = 4096
    ):
        super().__init__()
        variables, first, second = len(space.variables), *channels
        self.latent, self.shape, cells = latent, space.shape, space.area.numel()
        self.convolutions = nn.Sequential(
            nn.ConvTranspose2d(latent, first, halved_shape(space.shape, 2), bias=False),
            BatchNorm(first),
            nn.ReLU(),
            nn.ConvTranspose2d(first, second, 4, stride=2, padding=1, bias=False),
            BatchNorm(second),
            nn.ReLU(),
            nn.ConvTranspose2d(second, variables, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )
        self.linear = nn.Linear(cells, cells) if cells <= largest else None
        self.scale = nn.Parameter(torch.ones(variables, cells)) if self.linear is None else None
        self.shift = nn.Parameter(torch.zeros(variables, cells)) if self.linear is None else None

    def forward(
        self, z: Float[Tensor, "batch members latent"], c: Context
    ) -> Float[Tensor, "batch members variable y x"]:
        x = self.convolutions(z.flatten(0, 1)[..., None, None])
        x = x[..., : self.shape[0], : self.shape[1]].flatten(2)
        x = self.linear(x) if self.linear is not None else x * self.scale + self.shift
        return x.float().unflatten(2, self.shape).unflatten(0, z.shape[:2])
