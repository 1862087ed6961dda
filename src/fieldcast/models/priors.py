"""Learnt priors p(z): a mixture of Gaussians, a mixture of posteriors (VampPrior), and a flow.

A VAE evaluates its prior once for each batch, given the encoder (`prior_given_encoder`), which only the VampPrior uses.
So no prior holds the encoder, and checkpoints store its weights once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.models.core import Batch, Context
from fieldcast.models.distributions import Normal, Posterior, Prior, standard_normal_log_prob
from fieldcast.models.layers.coupling import Coupling, Dense, checkerboard
from fieldcast.models.options import Count, Interval, require_interval
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


class Mixed:
    """p(z) = sum_k w_k q_k(z), with q_k the rows of a posterior and w = softmax(logits)."""

    def __init__(self, parts: Posterior, logits: Float[Tensor, " parts"]):
        self.parts, self.log_weights = parts, torch.log_softmax(logits, dim=0)

    def draw(self, streams: RandomStreams) -> Float[Tensor, "batch members latent"]:
        edges = self.log_weights.detach().exp().cumsum(0)
        k = torch.searchsorted(edges, streams.uniform()).clamp(max=len(edges) - 1)  # (B, M)
        z = self.parts.select(k.flatten()).draw(streams.fork(0).per_row())
        return z[:, 0].unflatten(0, k.shape)

    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]:
        repeated = z.flatten(0, 1).expand(len(self.log_weights), -1, -1)  # (K, B * M, latent)
        joint = self.log_weights[:, None] + self.parts.log_prob(repeated)
        return torch.logsumexp(joint, dim=0).unflatten(0, z.shape[:2])


class Mixture(nn.Module):
    """p(z) = sum_k w_k N(z; mu_k, diag sd_k^2), all learnt.

    Parameters
    ----------
    latent
        Size of z.
    components
        Number of Gaussians.
    """

    def __init__(self, latent: Count, components: Count = 16):
        super().__init__()
        self.latent = latent
        self.means = nn.Parameter(torch.randn(components, latent))
        self.log_variances = nn.Parameter(torch.zeros(components, latent))
        self.logits = nn.Parameter(torch.zeros(components))

    def mixed(self) -> Mixed:
        """The mixture of the current parameters; the variances are bounded."""
        return Mixed(Normal(self.means, self.log_variances.clamp(-12, 12)), self.logits)

    def draw(self, streams: RandomStreams) -> Float[Tensor, "batch members latent"]:
        return self.mixed().draw(streams)

    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]:
        return self.mixed().log_prob(z)


class Vamp(nn.Module):
    """p(z) = sum_k w_k q(z | u_k): posteriors of learnt pseudo-inputs u_k (Tomczak and Welling 2018, eq. 9).

    Weights are learnt too. Pseudo-inputs start at training states (`prepare`).

    Parameters
    ----------
    space
        Grid of the states.
    components
        Number of pseudo-inputs.
    bounds
        Range of the data, within which pseudo-inputs stay: (0, 1) for images; None, for fields: no limits.
    """

    def __init__(self, space: Space, components: Count = 16, bounds: Interval | None = None):
        super().__init__()
        if bounds is not None:
            require_interval(bounds, "prior.bounds")
        self.bounds = None if bounds is None else (float(bounds[0]), float(bounds[1]))
        low, high = self.bounds or (-1.0, 1.0)
        self.inputs = nn.Parameter(low + (high - low) * torch.rand(components, *space.state_shape))
        self.logits = nn.Parameter(torch.zeros(components))

    @torch.no_grad()
    def prepare(self, training: Batch, streams: RandomStreams) -> None:
        """Initialise the pseudo-inputs with training states."""
        order = streams.alone().uniform(1).flatten().argsort()[: len(self.inputs)]
        self.inputs[: len(order)] = training.x[order]

    def mixture_given(self, encoder: Callable[[Batch], Posterior]) -> Mixed:
        """The mixture of the encoder's posteriors of the pseudo-inputs."""
        u = self.inputs if self.bounds is None else self.inputs.clamp(*self.bounds)
        return Mixed(encoder(Batch(u, Context(len(u)))), self.logits)


class CouplingPrior(nn.Module):
    """z = f^-1(e), e ~ N(0, I), with f of coupling layers: log p(z) = log N(f(z)) + log |df/dz|.

    Parameters
    ----------
    latent
        Size of z, 2 or more.
    layers
        Number of coupling layers.
    hidden
        Units of the hidden layer of each.
    """

    def __init__(self, latent: Count, layers: Count = 10, hidden: Count = 8):
        super().__init__()
        if latent < 2:
            raise TypeError("a coupling flow needs a latent of two or more components")
        self.latent, everywhere = latent, torch.ones(latent, dtype=torch.bool)
        self.layers = nn.ModuleList(
            Coupling(Dense((latent,), hidden), checkerboard((latent,), bool(i % 2)), everywhere)
            for i in range(layers)
        )

    def draw(self, streams: RandomStreams) -> Float[Tensor, "batch members latent"]:
        e = streams.normal(self.latent)
        z = e.flatten(0, 1)
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z.unflatten(0, e.shape[:2])

    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]:
        e, log_det = z.flatten(0, 1), z.new_zeros(z.shape[:2].numel())
        for layer in self.layers:
            e, change = layer(e)
            log_det = log_det + change
        dense = standard_normal_log_prob(e).sum(dim=1)
        return (dense + log_det).unflatten(0, z.shape[:2])


def prior_given_encoder(prior: Any, encoder: Any) -> Prior:
    """The prior itself, or for a VampPrior the mixture that it forms with the encoder."""
    return prior.mixture_given(encoder) if isinstance(prior, Vamp) else prior
