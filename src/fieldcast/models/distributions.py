"""Posteriors q(z | .) and the standard prior p(z) of a latent: draws and densities.

Each member of a datum has a separate draw; z has the shape (B, M, latent). Densities and divergences come from
torch.distributions, draws from `random_streams`. Arguments are not validated: a diverging training is reported by its
loss. Learnt priors are in `priors`.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Laplace as TorchLaplace
from torch.distributions import Normal as TorchNormal
from torch.distributions import Uniform as TorchUniform
from torch.distributions import kl_divergence

from fieldcast.models.random_streams import RandomStreams

Family = Literal["normal", "uniform", "laplace", "point"]


@runtime_checkable
class Posterior(Protocol):
    """q(z | .) of B data."""

    @property
    def mean(self) -> Float[Tensor, "batch latent"]: ...
    def draw(self, streams: RandomStreams) -> Float[Tensor, "batch members latent"]: ...
    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]: ...
    def kl(self, prior: Prior) -> Float[Tensor, " batch"] | None: ...
    def select(self, index: Int[Tensor, " rows"]) -> Posterior: ...


@runtime_checkable
class Prior(Protocol):
    """p(z), the same for all data."""

    def draw(self, streams: RandomStreams) -> Float[Tensor, "batch members latent"]: ...
    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]: ...


def standard_normal_log_prob(z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log N(z; 0, 1) of each component."""
    return -(z.square() + math.log(2 * math.pi)) / 2


def posterior(
    family: Family, location: Float[Tensor, "batch latent"], log_scale: Float[Tensor, "batch latent"]
) -> Posterior:
    """Distribution of a family with mean `location` and standard deviation exp(log_scale)."""
    if family == "normal":
        return Normal(location, 2 * log_scale)
    if family == "uniform":
        half = math.sqrt(3) * torch.exp(log_scale)
        return Uniform(location - half, location + half)
    if family == "laplace":
        return Laplace(location, torch.exp(log_scale) / math.sqrt(2))
    if family == "point":
        return Point(location)
    raise TypeError(f"a posterior is normal, uniform, laplace or point, not '{family}'")


class Independent:
    """A posterior of independent components, `each` of shape (B, 1, latent): its density and divergence."""

    each: TorchNormal | TorchUniform | TorchLaplace

    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]:
        return self.each.log_prob(z).sum(dim=2)

    def kl(self, prior: Prior) -> Float[Tensor, " batch"] | None:
        """KL(q || prior) where it has a closed form, else None."""
        if isinstance(prior, Normal) and isinstance(self, Normal):
            return kl_divergence(self.each, prior.each).sum(dim=(1, 2))
        return kl_to_standard(self.each) if isinstance(prior, StandardNormal) else None


class Normal(Independent):
    """q = N(mean, exp(log_variance)), independent; z = mean + sd * eps (Kingma and Welling 2014, section 2.4)."""

    def __init__(self, mean: Float[Tensor, "batch latent"], log_variance: Float[Tensor, "batch latent"]):
        self.mean, self.log_variance = mean, log_variance
        self.deviation = torch.exp(log_variance / 2)
        self.each = TorchNormal(mean[:, None], self.deviation[:, None], validate_args=False)

    def draw(self, streams: RandomStreams) -> Float[Tensor, "batch members latent"]:
        return self.mean[:, None] + self.deviation[:, None] * streams.normal(self.mean.shape[1])

    def select(self, index: Int[Tensor, " rows"]) -> Normal:
        """Select the posteriors of some of the data, possibly with repetitions."""
        return Normal(self.mean[index], self.log_variance[index])


class Uniform(Independent):
    """q = U[a, b], independent; z = a + (b - a) u.

    KL(q || N(0, 1)) = -log(b - a) + log(2 pi) / 2 + (a^2 + a b + b^2) / 6 for each component.
    """

    def __init__(self, low: Float[Tensor, "batch latent"], high: Float[Tensor, "batch latent"]):
        self.low, self.high = low, high
        self.each = TorchUniform(low[:, None], high[:, None], validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "batch latent"]:
        return (self.low + self.high) / 2

    def draw(self, streams: RandomStreams) -> Float[Tensor, "batch members latent"]:
        low, high = self.low[:, None], self.high[:, None]
        z = low + (high - low) * streams.uniform(self.low.shape[1])
        # rounding may bring z to `high`, where the density is 0 and an importance weight infinite
        return torch.where(z < high, z, torch.nextafter(high, low))

    def select(self, index: Int[Tensor, " rows"]) -> Uniform:
        """Select the posteriors of some of the data, possibly with repetitions."""
        return Uniform(self.low[index], self.high[index])


class Laplace(Independent):
    """q = exp(-|z - mean| / b) / (2 b), independent; z = mean - b sgn(v) log(1 - 2 |v|), v = u - 1/2.

    KL(q || N(0, 1)) = -log(2 b) - 1 + log(2 pi) / 2 + mean^2 / 2 + b^2 for each component.
    """

    def __init__(self, mean: Float[Tensor, "batch latent"], scale: Float[Tensor, "batch latent"]):
        self.mean, self.scale = mean, scale
        self.each = TorchLaplace(mean[:, None], scale[:, None], validate_args=False)

    def draw(self, streams: RandomStreams) -> Float[Tensor, "batch members latent"]:
        v = streams.uniform(self.mean.shape[1]) - 0.5
        unit = -v.sign() * torch.log((1 - 2 * v.abs()).clamp(min=2**-24))
        return self.mean[:, None] + self.scale[:, None] * unit

    def select(self, index: Int[Tensor, " rows"]) -> Laplace:
        """Select the posteriors of some of the data, possibly with repetitions."""
        return Laplace(self.mean[index], self.scale[index])


class Point:
    """q = delta(z - mean): a code, or the output of a deterministic encoder. It has neither density nor divergence."""

    def __init__(self, mean: Float[Tensor, "batch latent"]):
        self.mean = mean

    def draw(self, streams: RandomStreams) -> Float[Tensor, "batch members latent"]:
        count = streams.members
        return self.mean[:, None].expand(-1, count, -1)

    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]:
        raise ValueError("a point has no density: a model of deterministic codes has no ELBO")

    def kl(self, prior: Prior) -> Float[Tensor, " batch"]:
        """Zero: the loss of an autoencoder is its reconstruction."""
        return self.mean.new_zeros(len(self.mean))

    def select(self, index: Int[Tensor, " rows"]) -> Point:
        """Select the posteriors of some of the data, possibly with repetitions."""
        return Point(self.mean[index])


def kl_to_standard(each: TorchNormal | TorchUniform | TorchLaplace) -> Float[Tensor, " batch"]:
    """KL to N(0, I) of independent components (B, 1, latent)."""
    zero = torch.zeros_like(each.mean)
    return kl_divergence(each, TorchNormal(zero, torch.ones_like(zero), validate_args=False)).sum(dim=(1, 2))


class StandardNormal(nn.Module):
    """p = N(0, I)."""

    def __init__(self, latent: int):
        super().__init__()
        self.latent = latent

    def draw(self, streams: RandomStreams) -> Float[Tensor, "batch members latent"]:
        return streams.normal(self.latent)

    def log_prob(self, z: Float[Tensor, "batch members latent"]) -> Float[Tensor, "batch members"]:
        return standard_normal_log_prob(z).sum(dim=2)
