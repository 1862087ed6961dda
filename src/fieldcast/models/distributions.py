"""Posteriors q(z | .) and priors p(z) of a latent: what they draw, and how dense they are.

Every member of a datum gets its own draw; z has the shape (B, M, latent). Arguments are not validated: a training that
diverges is told by its loss, in one sentence.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence
from torch.distributions import Normal as TorchNormal

from fieldcast.models.draws import Draws


@runtime_checkable
class Posterior(Protocol):
    """q(z | .) of B data."""

    def draw(self, draws: Draws) -> Float[Tensor, "batch members latent"]: ...
    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]: ...
    def kl(self, prior: Prior) -> Float[Tensor, " batch"] | None: ...


@runtime_checkable
class Prior(Protocol):
    """p(z), the same for all data."""

    def draw(self, draws: Draws) -> Float[Tensor, "batch members latent"]: ...
    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]: ...


class Normal:
    """q = N(mean, exp(log_variance)), independent; z = mean + sd * eps (Kingma and Welling 2014, section 2.4)."""

    def __init__(self, mean: Float[Tensor, "batch latent"], log_variance: Float[Tensor, "batch latent"]):
        self.mean, self.deviation = mean, torch.exp(log_variance / 2)

    def draw(self, draws: Draws) -> Float[Tensor, "batch members latent"]:
        return self.mean[:, None] + self.deviation[:, None] * draws.normal(self.mean.shape[1])

    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]:
        return Independent(
            TorchNormal(self.mean[:, None], self.deviation[:, None], validate_args=False), 1
        ).log_prob(z)

    def kl(self, prior: Prior) -> Float[Tensor, " batch"] | None:
        """KL(q || prior) where it is known in closed form, else None."""
        if not isinstance(prior, StandardNormal):
            return None
        standard = TorchNormal(torch.zeros_like(self.mean), torch.ones_like(self.mean))
        return kl_divergence(TorchNormal(self.mean, self.deviation, validate_args=False), standard).sum(dim=1)


class StandardNormal(nn.Module):
    """p = N(0, I)."""

    def __init__(self, latent: int):
        super().__init__()
        self.latent = latent

    def draw(self, draws: Draws) -> Float[Tensor, "batch members latent"]:
        return draws.normal(self.latent)

    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]:
        return Independent(TorchNormal(torch.zeros_like(z), torch.ones_like(z)), 1).log_prob(z)
