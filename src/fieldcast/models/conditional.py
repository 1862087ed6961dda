"""Parts of a conditional VAE: encoders q(z | c) of the context, and decoders that read the context besides z."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.models.core import Context, ExtraChannel, channel_count
from fieldcast.models.distributions import Normal, Posterior
from fieldcast.models.layers.grid_convolutions import ConvDecoder, ConvEncoder, Upsampling
from fieldcast.models.options import Count, Number
from fieldcast.models.space import Space


class Encoder(nn.Module, ABC):
    """q(z | c): a network that reads the context."""

    @abstractmethod
    def forward(self, c: Context) -> Posterior:
        """q(z | c) of each datum."""


class Decoder(nn.Module, ABC):
    """The mean of p(x | z, c), or its log odds; z has a row for each member, c a row for each datum.

    `reads`: the part of the context that it uses.
    """

    reads: Literal["nothing", "fraction", "past"] = "nothing"

    @abstractmethod
    def forward(
        self, z: Float[Tensor, "batch members latent"], c: Context
    ) -> Float[Tensor, "batch members variable y x"]:
        """The mean, or the log odds, of each member."""


class ContextEncoder(Encoder):
    """q(z | c) = N(mu, sd^2): the reports' encoder (docs/systems.md) of the last states or the sparse field.

    Parameters
    ----------
    space
        Grid of the states.
    latent
        Size of z.
    history
        Number of last states in the context; 0: the context is a sparse field.
    extra_channels
        Additional inputs: the mask of a sparse field, the season, static fields. The reports use none of them.
    target
        Whether it sees the state x besides the context, as q(z | x, c) does.
    """

    def __init__(
        self, space: Space, latent: Count, history: Number = 0,
        extra_channels: Sequence[ExtraChannel] = ("mask", "season", "static"), target: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.space, self.extra_channels, self.target = space, tuple(extra_channels), target
        channels = channel_count(space, history, not history, extra_channels) + target * len(space.variables)
        self.network = ConvEncoder(channels, space.shape, space.wraps)
        self.mean = nn.Linear(self.network.features, latent)
        self.log_variance = nn.Linear(self.network.features, latent)

    def forward(self, c: Context, x: Float[Tensor, "batch variable y x"] | None = None) -> Normal:
        channels = c.channels(self.space, self.extra_channels)
        h = self.network(channels if x is None else torch.cat([channels, x], dim=1))
        # in half precision, the terms of the divergence would cancel to a wrong sum
        return Normal(self.mean(h).float(), self.log_variance(h).float().clamp(-12, 12))


class PriorEncoder(Encoder):
    """q(z | c) = N(0, I) for every context, which reduces the VAE to a decoder of noise.

    Parameters
    ----------
    latent
        Size of z.
    """

    def __init__(self, latent: int):
        super().__init__()
        self.latent = latent

    def forward(self, c: Context) -> Normal:
        zeros = c.base().new_zeros(c.count, self.latent)
        return Normal(zeros, zeros)


class FieldDecoder(Decoder):
    """The reports' decoder of z, `random` numbers and, if `conditioned`, the fraction observed k.

    It reads log k, because k spans decades.

    Parameters
    ----------
    space
        Grid of the states.
    latent
        Size of z.
    random
        Number of standard normal numbers besides z.
    conditioned
        Whether it reads k; otherwise it reads nothing of the context.
    """

    def __init__(self, space: Space, latent: Count, random: Number = 0, conditioned: bool = True):
        super().__init__()
        self.space, self.random, self.conditioned = space, random, conditioned
        self.reads = "fraction" if conditioned else "nothing"
        inputs = latent + random + conditioned
        self.network = ConvDecoder(inputs, len(space.variables), space.shape, space.wraps)

    def forward(
        self, z: Float[Tensor, "batch members latent"], c: Context
    ) -> Float[Tensor, "batch members variable y x"]:
        if self.conditioned:
            smallest = 1 / self.space.size  # for a day without observations
            k = torch.log(c.fraction(self.space).clamp(min=smallest))[:, None, None].expand(-1, z.shape[1], 1)
            z = torch.cat([z, k], dim=2)
        return self.network(z.flatten(0, 1)).unflatten(0, z.shape[:2])


class VectorDecoder(Decoder):
    """The reports' decoder of one vector: z, `random` numbers and the last `history` states.

    A linear layer maps the vector to a coarse field, and two transposed convolutions map that to the state. The layer
    has (latent + random + history V Y X) * channels[0] * Y X / 16 weights, hence few coarse channels: with 64, as in
    `PastDecoder`, five states of four variables on 64 x 32 cells need 344 million.

    Parameters
    ----------
    space
        Grid of the states.
    latent
        Size of z.
    history
        Number of last states.
    random
        Number of standard normal numbers besides z.
    channels
        Channels of the coarse field and of the hidden level.
    upsample
        Upsampling of a level: "transposed" convolutions, or the "nearest" value and a convolution.
    """

    reads = "past"

    def __init__(
        self, space: Space, latent: Count, history: Number, random: Number = 0, channels: Sequence[int] = (8, 32),
        upsample: Upsampling = "transposed",
    ):  # fmt: skip
        super().__init__()
        self.random = random
        inputs, outputs = latent + random + history * math.prod(space.state_shape), len(space.variables)
        self.network = ConvDecoder(inputs, outputs, space.shape, space.wraps, channels, upsample=upsample)

    def forward(
        self, z: Float[Tensor, "batch members latent"], c: Context
    ) -> Float[Tensor, "batch members variable y x"]:
        past = c.states().flatten(1)[:, None].expand(-1, z.shape[1], -1)
        vector = torch.cat([z, past], dim=2).flatten(0, 1)
        return self.network(vector).unflatten(0, z.shape[:2])


class PastDecoder(Decoder):
    """A decoder of z, `random` numbers and the last `history` states, with season and static fields.

    Unlike in the reports (`VectorDecoder`), two convolutions carry the states to the coarse level of the
    decoder, which preserves location.

    Parameters
    ----------
    space
        Grid of the states.
    latent
        Size of z.
    history
        Number of last states.
    random
        Number of standard normal numbers besides z.
    upsample
        Upsampling of a level: "transposed" convolutions, or the "nearest" value and a convolution.
    """

    reads = "past"

    def __init__(
        self,
        space: Space,
        latent: Count,
        history: Number,
        random: Number = 0,
        upsample: Upsampling = "transposed",
    ):
        super().__init__()
        self.space, self.random = space, random
        self.past = ConvEncoder(channel_count(space, history), space.shape, space.wraps)
        extra = self.past.channels
        inputs, outputs = latent + random, len(space.variables)
        self.network = ConvDecoder(inputs, outputs, space.shape, space.wraps, extra=extra, upsample=upsample)

    def forward(
        self, z: Float[Tensor, "batch members latent"], c: Context
    ) -> Float[Tensor, "batch members variable y x"]:
        past = self.past.features_of(c.channels(self.space))[:, None].expand(-1, z.shape[1], -1, -1, -1)
        return self.network(z.flatten(0, 1), past.flatten(0, 1)).unflatten(0, z.shape[:2])
