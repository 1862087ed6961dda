"""Decoders without a context: the parameters of p(x | z) from z alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.models.conditional import Decoder
from fieldcast.models.core import Context
from fieldcast.models.layers.grid_convolutions import ConvDecoder, halved_shape
from fieldcast.models.options import Count, Counts
from fieldcast.models.space import Space


class DenseDecoder(Decoder):
    """Hidden layers with ReLU (two of 512 in the report, docs/systems.md) and a linear output layer.

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
    """A linear layer and two transposed convolutions of stride 2, the mirror of the reports' encoder.

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
    """The report's decoder of an autodecoder, for any size of state.

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


# Batch normalisation over the batch of all ranks that train together (torch's own has no CPU kernel).


class AllReduceSum(torch.autograd.Function):
    """y = sum over ranks of x_r; as every rank's loss depends on y, dL/dx_r = sum over ranks of dL_r/dy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return AllReduceSum.apply(gradient)


class BatchNorm(nn.BatchNorm2d):
    """x -> (x - m) / sqrt(v + eps) * weight + bias for each channel (Ioffe and Szegedy 2015, algorithm 1).

    m and v are the mean and the variance over the data and cells of the whole batch, also when several ranks hold a
    share of it. The running statistics are those of `torch.nn.BatchNorm2d`, with v unbiased.
    """

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        count = AllReduceSum.apply(x.new_tensor(float(x.numel() // x.shape[1])))
        mean = AllReduceSum.apply(x.sum(dim=(0, 2, 3))) / count
        deviation = x - mean[:, None, None]
        variance = AllReduceSum.apply(deviation.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return deviation * scale[:, None, None] + self.bias[:, None, None]
