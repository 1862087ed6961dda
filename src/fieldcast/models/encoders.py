"""Encoders q(z | x) that read the state itself.

A model with such an encoder draws z from its prior, because there is no x to encode when it samples. A table of latents
(`latent_table`) is an encoder of this kind too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.models.core import Batch
from fieldcast.models.distributions import Family, Posterior, posterior
from fieldcast.models.layers.grid_convolutions import ConvEncoder
from fieldcast.models.options import Count, Counts
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

MAX_LOG_SCALE = 6.0  # largest |log standard deviation| of a posterior


class StateEncoder(nn.Module, ABC):
    """q(z | x)."""

    family: Family = "normal"  # family of the posterior; "point" has no density

    @abstractmethod
    def forward(self, batch: Batch) -> Posterior:
        """q(z | x) of data; a table has training data only."""

    @abstractmethod
    def infer(self, batch: Batch, vae: Any, streams: RandomStreams) -> Posterior:
        """q(z | x) of any data, training data or not; `vae` measures how well a code explains x."""


class Network(StateEncoder):
    """q(z | x) = a distribution of `family` whose mean and log standard deviation are linear in features of x.

    Parameters
    ----------
    space
        Grid of the states.
    latent
        Size of z.
    kind
        "dense": hidden layers with ReLU; "convolution": two convolutions of 32 and 64 channels, stride 2.
    hidden
        Sizes of the hidden layers of kind "dense" (two of 512 in the report, docs/systems.md).
    family
        Family of q; "point" gives the encoder of a plain autoencoder.
    """

    def __init__(
        self, space: Space, latent: Count, kind: Literal["dense", "convolution"] = "dense",
        hidden: Counts = (512, 512), family: Family = "normal",
    ):  # fmt: skip
        super().__init__()
        self.latent, self.family = latent, family
        if kind == "dense":
            self.features: nn.Module = DenseFeatures(space, hidden)
            size = hidden[-1]
        else:
            self.features = ConvEncoder(len(space.variables), space.shape, space.wraps)
            size = self.features.features
        self.mean = nn.Linear(size, latent)
        self.log_scale = nn.Linear(size, latent)

    def forward(self, batch: Batch) -> Posterior:
        h = self.features(batch.x)
        log_scale = self.log_scale(h).float().clamp(-MAX_LOG_SCALE, MAX_LOG_SCALE)
        return posterior(self.family, self.mean(h).float(), log_scale)

    def infer(self, batch: Batch, vae: Any, streams: RandomStreams) -> Posterior:
        return self(batch)


class DenseFeatures(nn.Module):
    """Linear layers over all cells, each followed by ReLU.

    Parameters
    ----------
    space
        Grid of the states.
    hidden
        Sizes of the layers.
    """

    def __init__(self, space: Space, hidden: Sequence[int]):
        super().__init__()
        cells = len(space.variables) * space.area.numel()
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise((cells, *hidden)))

    def forward(self, x: Float[Tensor, "batch variable y x"]) -> Float[Tensor, "batch features"]:
        h = x.flatten(1)
        for layer in self.layers:
            h = F.relu(layer(h))
        return h
