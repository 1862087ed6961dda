"""Variational autoencoders (Kingma and Welling 2014): x ~ p(x | decoder(z, c)), z ~ p(z), q(z | .) = encoder.

    -log p(x | c) <= E_q[ -log p(x | decoder(z, c)) ] + KL(q(z | .) || p(z))

A VAE holds four parts, an encoder, a decoder, a likelihood and a prior; models differ by the parts they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Context, Space, Terms, Trained
from fieldcast.models.distributions import Normal, Posterior, Prior, StandardNormal
from fieldcast.models.encoders import StateEncoder
from fieldcast.models.layers.networks import ConvDecoder, ConvEncoder
from fieldcast.models.likelihoods import Gaussian, Likelihood
from fieldcast.models.priors import Vamp, given
from fieldcast.models.random_streams import RandomStreams


@runtime_checkable
class Encoder(Protocol):
    """q(z | c): a network that reads the context."""

    def __call__(self, c: Context) -> Posterior: ...


@runtime_checkable
class Decoder(Protocol):
    """The mean of p(x | z, c); z has a row a member, c a row a datum."""

    def __call__(self, z: Tensor, c: Context) -> Tensor: ...


class ContextEncoder(nn.Module):
    """q(z | c) = N(mu, sd^2): the reports' encoder of all that the context holds, in its order.

    That is the last `history` states, or without any the sparse field and its mask; season and static fields.
    """

    def __init__(self, space: Space, latent: int = 200, history: int = 0):
        super().__init__()
        self.space, self.latent = space, latent
        channels = (history or 2) * len(space.variables) + 2 + len(space.static)
        self.network = ConvEncoder(channels, space.shape, space.wraps)
        self.mean = nn.Linear(self.network.features, latent)
        self.log_variance = nn.Linear(self.network.features, latent)

    def forward(self, c: Context) -> Normal:
        h = self.network(c.channels(self.space))
        return Normal(self.mean(h), self.log_variance(h).clamp(-12, 12))


class PriorEncoder(nn.Module):
    """q(z | c) = N(0, I), whatever the context: all that is left of the VAE is a decoder fed with noise."""

    def __init__(self, latent: int = 1000):
        super().__init__()
        self.latent = latent

    def forward(self, c: Context) -> Normal:
        zeros = c.base().new_zeros(c.rows, self.latent)
        return Normal(zeros, zeros)


class FieldDecoder(nn.Module):
    """The reports' decoder; with `conditioned` it is told k, the fraction observed (as log k: k spans decades)."""

    def __init__(self, space: Space, latent: int = 200, conditioned: bool = True):
        super().__init__()
        self.space, self.latent, self.conditioned = space, latent, conditioned
        self.network = ConvDecoder(latent + conditioned, len(space.variables), space.shape, space.wraps)

    def forward(
        self, z: Float[Tensor, "batch members latent"], c: Context
    ) -> Float[Tensor, "batch members variable y x"]:
        if self.conditioned:
            least = 1 / self.space.size  # of a day on which nothing was seen
            k = torch.log(c.fraction(self.space).clamp(min=least))[:, None, None].expand(-1, z.shape[1], 1)
            z = torch.cat([z, k], dim=2)
        return self.network(z.flatten(0, 1)).unflatten(0, z.shape[:2])


class PastDecoder(nn.Module):
    """The reports' decoder beside the last `history` states, which reach its coarse level by two convolutions."""

    def __init__(self, space: Space, latent: int, history: int):
        super().__init__()
        self.space, self.latent = space, latent
        channels = history * len(space.variables) + 2 + len(space.static)
        self.past = ConvEncoder(channels, space.shape, space.wraps)
        beside = self.past.channels
        self.network = ConvDecoder(latent, len(space.variables), space.shape, space.wraps, beside=beside)

    def forward(
        self, z: Float[Tensor, "batch members latent"], c: Context
    ) -> Float[Tensor, "batch members variable y x"]:
        past = self.past.features_of(c.channels(self.space))[:, None].expand(-1, z.shape[1], -1, -1, -1)
        return self.network(z.flatten(0, 1), past.flatten(0, 1)).unflatten(0, z.shape[:2])


class VAE(Trained):
    """x = decoder(z, c), z ~ encoder(c); or, with an encoder of the state itself (`StateEncoder`), z ~ prior.

    Loss per cell: (misfit(x, decoder) + kl_weight * KL(q || p)) / cells, the misfit being -log p(x | z) without
    constants. `sample` returns the mean of p(x | z); `likelihood_noise` draws from it.

    kl_warm_up: the steps of training at which the weight of the KL begins to rise from 0 and at which it is `kl_weight`
        (Bowman et al. 2016, section 3.1). With all of it from the start the KL falls to zero before the decoder has
        learnt to read z, and whether and when it comes back is chance. They are steps, not a share of the training: how
        long the decoder takes to learn that does not grow with the length of the training. The weight is a function of
        the step alone, so that a training that is resumed has the same one; a validation has all of it.

    With `history` the context is the last states; the decoder then sees them too, and beside z so many normal
    numbers as `random` says, which no encoder has a hand in.

    Raises
    ------
    InputError
        Where the parts have latents of different sizes, or the warm-up ends before it begins.
    """

    def __init__(
        self, space: Space, encoder: Encoder | None = None, decoder: Decoder | None = None,
        likelihood: Likelihood | None = None, prior: Prior | Vamp | None = None, latent: int = 200,
        history: int = 0, random: int = 0, kl_weight: float = 1.0, kl_warm_up: Sequence[int] = (0, 0),
        likelihood_noise: bool = False,
    ):  # fmt: skip
        super().__init__(space)
        self.history, self.random = history, random
        past = PastDecoder(space, latent + random, history) if history else None
        self.encoder = encoder or ContextEncoder(space, latent, history)
        self.decoder = decoder or past or FieldDecoder(space, latent + random)
        self.likelihood = likelihood or Gaussian()
        self.prior = prior or StandardNormal(latent)
        self.check_latent()
        self.kl_weight, self.likelihood_noise = kl_weight, likelihood_noise
        if len(kl_warm_up) != 2 or not 0 <= kl_warm_up[0] <= kl_warm_up[1]:
            raise InputError(
                f"kl_warm_up is {list(kl_warm_up)}: give two steps of the training, such as [200, 260], between which "
                "the weight of the KL rises."
            )
        self.kl_warm_up = kl_warm_up

    def check_latent(self) -> None:
        """One sentence if the parts that say the size of their latent differ; a decoder has `random` beside it."""
        parts = {"encoder": self.encoder, "prior": self.prior, "decoder": self.decoder}
        sizes = {name: int(part.latent) for name, part in parts.items() if hasattr(part, "latent")}
        if "decoder" in sizes:
            sizes["decoder"] -= self.random
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise InputError(f"the latent has different sizes ({told}): give all parts the same.")

    def prepare(self, training: Batch, draws: RandomStreams) -> None:
        """A row for each datum in a table of codes, pseudo-inputs at training states."""
        for part in (self.encoder, self.prior):
            if isinstance(part, (StateEncoder, Vamp)):
                part.prepare(training, draws)

    def posterior(self, batch: Batch, draws: RandomStreams) -> Posterior:
        """q(z | c), or q(z | x): of a training datum as it was learnt, of another (without index) inferred."""
        if not isinstance(self.encoder, StateEncoder):
            return self.encoder(batch.context)
        return self.encoder(batch) if batch.index is not None else self.encoder.infer(batch, self, draws)

    def codes(self) -> Prior:
        """p(z); of a VampPrior it depends on the encoder."""
        return given(self.prior, self.encoder)

    def decode(
        self, z: Tensor, c: Context, draws: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        if self.random:
            z = torch.cat([z, draws.normal(self.random)], dim=2)
        return self.decoder(z, c)

    def restore(
        self, z: Tensor, c: Context, draws: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        """The mean of p(x | z, c)."""
        return self.likelihood.mean(self.decode(z, c, draws))

    def loss(self, batch: Batch, draws: RandomStreams) -> Terms:
        one = draws.alone()
        q = self.posterior(batch, one)
        z = q.draw(one)
        return self.terms(batch.x, self.decode(z, batch.context, one), q, z, draws.step)

    def compare(self, x: Tensor, drawn: Tensor, c: Context, draws: RandomStreams) -> Terms:
        q = self.encoder(c)
        return self.terms(x, drawn, q, q.draw(draws.alone()), draws.step)

    def weight_at(self, step: int) -> float:
        """The weight of the KL at a step of training; in a validation it is `kl_weight`."""
        begin, end = self.kl_warm_up
        if not self.training or step >= end:
            return self.kl_weight
        return self.kl_weight * max(0, step - begin) / (end - begin)

    def terms(self, x: Tensor, drawn: Tensor, q: Posterior, z: Tensor, step: int) -> Terms:
        """Both parts of the negative ELBO, per cell."""
        cells = self.space.size
        reconstruction = self.likelihood.misfit(x, drawn[:, 0], self.space.exists).mean() / cells
        kl = self.divergence(q, z).mean() / cells
        return Terms(reconstruction + self.weight_at(step) * kl, {"reconstruction": reconstruction, "kl": kl})

    def cost(self, batch: Batch, q: Posterior, draws: RandomStreams) -> Float[Tensor, " batch"]:
        """The loss of each datum under a posterior, not divided by cells: what inference of codes descends on."""
        z = q.draw(draws)
        output = self.decode(z, batch.context, draws)[:, 0]
        return self.likelihood.misfit(batch.x, output, self.space.exists) + self.kl_weight * self.divergence(
            q, z
        )

    def divergence(self, q: Posterior, z: Tensor) -> Float[Tensor, " batch"]:
        """KL(q || p): in closed form where it exists, else log q(z) - log p(z) at the draw z."""
        p = self.codes()
        closed = q.kl(p)
        return closed if closed is not None else (q.log_prob(z) - p.log_prob(z)).mean(dim=1)

    def log_parts(
        self, batch: Batch, draws: RandomStreams, q: Posterior | None = None
    ) -> tuple[Float[Tensor, "batch members"], Float[Tensor, "batch members"]]:
        """log p(x | z_k) and log p(z_k) - log q(z_k | .), z_k ~ q: their means are the two terms of the ELBO.

        Raises
        ------
        ValueError
            For a posterior of points, which has no density.
        """
        q = q or self.posterior(batch, draws.alone())
        z = q.draw(draws)
        output = self.decode(z, batch.context, draws)
        likelihood = self.likelihood.log_prob(batch.x[:, None], output, self.space.exists)
        return likelihood, self.codes().log_prob(z) - q.log_prob(z)

    def log_weights(self, batch: Batch, draws: RandomStreams) -> Float[Tensor, "batch members"]:
        """log p(x, z_k) - log q(z_k | .): the mean is the ELBO, the log-mean-exp of K of them IWAE_K.

        Burda, Grosse and Salakhutdinov (2016), eq. 8.
        """
        likelihood, ratio = self.log_parts(batch, draws)
        return likelihood + ratio

    def sample(self, c: Context, draws: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Draws of x for each datum: means of p(x | z), with `likelihood_noise` draws from it."""
        of_state = isinstance(self.encoder, StateEncoder)
        z = (self.codes() if of_state else self.encoder(c)).draw(draws)
        output = self.decode(z, c, draws)
        return self.likelihood.noise(output, draws) if self.likelihood_noise else self.likelihood.mean(output)
