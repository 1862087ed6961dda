"""Variational autoencoders (Kingma and Welling 2014): x = decoder(z, c) + sigma * eps, z ~ p(z), q(z | .) = encoder.

    -log p(x | c) <= E_q[ sum_cells (x - decoder(z, c))^2 / (2 sigma^2) + N log sigma ] + KL(q(z | .) || p(z)) + const.

A VAE holds four parts, an encoder, a decoder, a likelihood and a prior; models differ by the parts they hold.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.models.core import Batch, Context, Space, Terms, Trained
from fieldcast.models.distributions import Normal, Posterior, Prior, StandardNormal
from fieldcast.models.draws import Draws
from fieldcast.models.networks import ConvDecoder, ConvEncoder


@runtime_checkable
class Encoder(Protocol):
    """q(z | c): a network that reads the context."""

    def __call__(self, c: Context) -> Posterior: ...


@runtime_checkable
class Decoder(Protocol):
    """The mean of p(x | z, c); z has a row a member, c a row a datum."""

    def __call__(self, z: Tensor, c: Context) -> Tensor: ...


class SparseEncoder(nn.Module):
    """q(z | c) = N(mu, sd^2): the reports' encoder on the sparse field, its mask and what else the context holds."""

    def __init__(self, space: Space, latent: int = 200):
        super().__init__()
        self.space = space
        channels = 2 * len(space.variables) + 2 + len(space.static)  # observed and mask, season, static
        self.network = ConvEncoder(channels, space.shape, space.wraps)
        self.mean = nn.Linear(self.network.features, latent)
        self.log_variance = nn.Linear(self.network.features, latent)

    def forward(self, c: Context) -> Normal:
        h = self.network(c.channels(self.space))
        return Normal(self.mean(h), self.log_variance(h).clamp(-12, 12))


class FieldDecoder(nn.Module):
    """The reports' decoder; with `conditioned` it is told k, the fraction observed (as log k: k spans decades)."""

    def __init__(self, space: Space, latent: int = 200, conditioned: bool = True):
        super().__init__()
        self.space, self.conditioned = space, conditioned
        self.network = ConvDecoder(latent + conditioned, len(space.variables), space.shape)

    def forward(
        self, z: Float[Tensor, "batch members latent"], c: Context
    ) -> Float[Tensor, "batch members variable y x"]:
        if self.conditioned:
            least = 1 / (
                len(self.space.variables) * self.space.exists.sum()
            )  # of a day on which nothing was seen
            k = torch.log(c.fraction(self.space).clamp(min=least))[:, None, None].expand(-1, z.shape[1], 1)
            z = torch.cat([z, k], dim=2)
        return self.network(z.flatten(0, 1)).unflatten(0, z.shape[:2])


class Gaussian(nn.Module):
    """p(x | z) = N(decoder, sigma^2) in each cell; sigma is fixed, or one number learned with the network."""

    def __init__(self, sigma: float = 1.0, learned: bool = False):
        super().__init__()
        self.log_sigma = nn.Parameter(torch.tensor(math.log(sigma)), requires_grad=learned)

    def misfit(
        self,
        x: Float[Tensor, "batch variable y x"],
        mean: Float[Tensor, "batch variable y x"],
        exists: Tensor,
    ) -> Float[Tensor, " batch"]:
        """sum_cells (x - mean)^2 / (2 sigma^2) + log sigma, over the cells that exist."""
        per_cell = (x - mean) ** 2 / (2 * torch.exp(2 * self.log_sigma)) + self.log_sigma
        return (per_cell * exists).sum(dim=(1, 2, 3))

    def noise(self, mean: Tensor, draws: Draws) -> Tensor:
        return mean + torch.exp(self.log_sigma) * draws.normal(*mean.shape[2:])


class VAE(Trained):
    """x = decoder(z, c), z ~ encoder(c).

    Loss per cell: (sum_cells (x - decoder)^2 / (2 sigma^2) + log sigma + kl_weight * KL(q || p)) / cells.
    `sample` draws z and returns the decoder's mean; `likelihood_noise` adds sigma * eps.
    """

    def __init__(
        self, space: Space, encoder: Encoder | None = None, decoder: Decoder | None = None,
        likelihood: Gaussian | None = None, prior: Any = None,
        latent: int = 200, kl_weight: float = 1.0, likelihood_noise: bool = False,
    ):  # fmt: skip
        super().__init__(space)
        self.encoder = encoder or SparseEncoder(space, latent)
        self.decoder = decoder or FieldDecoder(space, latent)
        self.likelihood = likelihood or Gaussian()
        self.prior: Prior = prior or StandardNormal(latent)
        self.kl_weight, self.likelihood_noise = kl_weight, likelihood_noise

    def loss(self, batch: Batch, draws: Draws) -> Terms:
        q = self.encoder(batch.context)
        z = q.draw(draws.alone())
        mean = self.decoder(z, batch.context)[:, 0]
        cells = len(self.space.variables) * self.space.exists.sum()
        reconstruction = self.likelihood.misfit(batch.x, mean, self.space.exists).mean() / cells
        kl = self.divergence(q, z).mean() / cells
        return Terms(reconstruction + self.kl_weight * kl, {"reconstruction": reconstruction, "kl": kl})

    def divergence(self, q: Posterior, z: Tensor) -> Float[Tensor, " batch"]:
        """KL(q || p): in closed form where it exists, else log q(z) - log p(z) at the draw z."""
        closed = q.kl(self.prior)
        return closed if closed is not None else (q.log_prob(z) - self.prior.log_prob(z)).mean(dim=1)

    def sample(self, c: Context, draws: Draws) -> Float[Tensor, "batch members variable y x"]:
        mean = self.decoder(self.encoder(c).draw(draws), c)
        return self.likelihood.noise(mean, draws) if self.likelihood_noise else mean
