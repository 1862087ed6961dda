"""Variational autoencoders (Kingma and Welling 2014), of states and of states given a context.

    VAE                x ~ p(x | decoder(z)),       z ~ p(z),        trained with q(z | x)
    ConditionalVAE     x ~ p(x | decoder(z, c)),    z ~ q(z | c),    trained with q(z | c)
    LearnedPriorVAE    x ~ p(x | decoder(z, c)),    z ~ p(z | c),    trained with q(z | x, c)

All are trained on a reconstruction and a divergence, with q of the state, of the context or of both,

    E_q[ -log p(x | decoder(z, c)) ] + KL(q || p).

For the first and the last this is a bound on -log p(x) and -log p(x | c) of their samples. For `ConditionalVAE`, the
VAE of the report, it is not: it draws z from q(z | c), which the divergence only keeps near the prior. Its
encoder sees nothing that its decoder does not see, so the loss gives z no information to carry, and the encoder may
become idle. Each has four parts, an encoder, a decoder, a likelihood and a prior.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.autoencoder import Autoencoder
from fieldcast.models.conditional import ContextEncoder, Decoder, Encoder, FieldDecoder, PastDecoder
from fieldcast.models.core import Batch, Context, Terms
from fieldcast.models.distributions import Posterior, Prior, StandardNormal
from fieldcast.models.encoders import StateEncoder
from fieldcast.models.latent_table import LatentTable
from fieldcast.models.likelihoods import Gaussian, LearnedGaussian, Likelihood
from fieldcast.models.options import Count, NonNegative, Number
from fieldcast.models.priors import Vamp
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

DESCRIPTIONS = {"fraction": "fraction observed", "past": "last states"}


class VAE(Autoencoder):
    """x ~ p(x | decoder(z)), z ~ p(z), with an encoder q(z | x) of the state itself.

    -log p(x) <= E_q[ -log p(x | decoder(z)) ] + KL(q(z | x) || p(z))

    Parameters
    ----------
    space
        Grid of the states.
    encoder
        q(z | x): a network, or a table of latents. A posterior of points (`family: point`) makes this a plain
        autoencoder, which has no density.
    decoder
        The mean of p(x | z), or its log odds.
    likelihood
        p(x | z); by default a Gaussian.
    prior
        p(z); by default N(0, I).
    latent
        Size of z; parts that take it and do not set it inherit it.
    kl_weight, kl_warm_up
        Weight of the KL, and the steps, or shares of them, between which it rises; see `Autoencoder`.
    likelihood_noise
        Whether a draw is sampled from p(x | z); otherwise it is its mean.
    """

    conditional = False

    def __init__(
        self, space: Space, encoder: StateEncoder, decoder: Decoder, likelihood: Likelihood | None = None,
        prior: Prior | Vamp | None = None, latent: Count = 200, kl_weight: NonNegative = 1.0,
        kl_warm_up: Sequence[float | int] = (0, 0), likelihood_noise: bool = False,
    ):  # fmt: skip
        super().__init__(space, kl_weight, kl_warm_up, likelihood_noise)
        if decoder.reads != "nothing":
            raise InputError(
                f"model.decoder: {type(decoder).__name__} reads a context, and a VAE of states has none: choose one of "
                "the module `decoders`."
            )
        if isinstance(prior, Vamp) and isinstance(encoder, LatentTable):
            raise InputError(
                "model.prior: a VampPrior needs an encoder of states, and a table of latents has none: choose another "
                "prior."
            )
        if isinstance(prior, Vamp) and encoder.family == "uniform":
            raise InputError(
                "model.prior: the density of a VampPrior of uniform posteriors is 0 between them, and the divergence "
                "infinite: choose another family of model.encoder, or another prior."
            )
        self.encoder, self.decoder = encoder, decoder
        self.likelihood, self.prior = likelihood or Gaussian(), prior or StandardNormal(latent)
        self.density = None if encoder.family == "point" else "lower bound"

    def posterior(self, batch: Batch, streams: RandomStreams) -> Posterior:
        """q(z | x): the encoder's for training data, inferred for others (without an index)."""
        return self.encoder(batch) if batch.index is not None else self.encoder.infer(batch, self, streams)

    def cost(self, batch: Batch, q: Posterior, streams: RandomStreams) -> Float[Tensor, " batch"]:
        """Loss of each datum under a posterior, not divided by cells; latent inference minimises it."""
        z = q.draw(streams)
        output = self.decode(z, batch.context, streams)[:, 0]
        misfit = self.likelihood.misfit(batch.x, output, self.space.exists)
        return misfit + self.kl_weight * self.divergence(q, z, batch.context)

    def log_parts(
        self, batch: Batch, streams: RandomStreams, q: Posterior | None = None
    ) -> tuple[Float[Tensor, "batch members"], Float[Tensor, "batch members"]]:
        """log p(x | z_k) and log p(z_k) - log q(z_k | x), z_k ~ q: their means are the two terms of the ELBO."""
        q = q or self.posterior(batch, streams.alone())
        z = q.draw(streams)
        output = self.decode(z, batch.context, streams)
        likelihood = self.likelihood.log_prob(batch.x[:, None], output, self.space.exists)
        return likelihood, self.latent_prior(batch.context).log_prob(z) - q.log_prob(z)

    def log_weights(self, batch: Batch, streams: RandomStreams) -> Float[Tensor, "batch members"]:
        """log p(x, z_k) - log q(z_k | x): the mean is the ELBO, the log-mean-exp of K of them IWAE_K.

        Burda, Grosse and Salakhutdinov (2016), eq. 8.
        """
        likelihood, ratio = self.log_parts(batch, streams)
        return likelihood + ratio

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Decode draws of the prior."""
        return self.draw_given(self.latent_prior(c).draw(streams), c, streams)


class ConditionalVAE(Autoencoder):
    """x = decoder(z, c), z ~ q(z | c), with an encoder of the context: the sparse field, or the last states.

    Parameters
    ----------
    space
        Grid of the states.
    encoder
        q(z | c); by default an encoder of the whole context (`ContextEncoder`).
    decoder
        The mean of p(x | z, c); by default one that reads the last states (`PastDecoder`) or the observed fraction
        (`FieldDecoder`).
    likelihood
        p(x | z, c); by default a Gaussian.
    prior
        p(z); by default N(0, I).
    latent
        Size of z; parts that take it and do not set it inherit it.
    history
        Number of last states in the context; 0: the context is a sparse field.
    random
        Number of standard normal numbers that the decoder reads besides z, independent of any encoder.
    kl_weight, kl_warm_up
        Weight of the KL, and the steps, or shares of them, between which it rises; see `Autoencoder`.
    likelihood_noise
        Whether a draw is sampled from p(x | z, c); otherwise it is its mean.
    """

    conditional = True
    shares = ("latent", "history", "random")
    compares_draws = True

    def __init__(
        self, space: Space, encoder: Encoder | None = None, decoder: Decoder | None = None,
        likelihood: Likelihood | None = None, prior: Prior | None = None, latent: Count = 200,
        history: Number = 0, random: Number = 0, kl_weight: NonNegative = 1.0,
        kl_warm_up: Sequence[float | int] = (0, 0), likelihood_noise: bool = False,
    ):  # fmt: skip
        super().__init__(space, kl_weight, kl_warm_up, likelihood_noise)
        self.history, self.random = history, random
        past = PastDecoder(space, latent, history, random) if history else None
        self.encoder = encoder or ContextEncoder(space, latent, history)
        self.decoder = decoder or past or FieldDecoder(space, latent, random)
        self.likelihood, self.prior = likelihood or Gaussian(), prior or StandardNormal(latent)
        if self.decoder.reads == ("fraction" if history else "past"):
            remedy = (
                "choose another one"
                if history
                else "set its model.history to 1 or above, or choose another one"
            )
            raise InputError(
                f"model.decoder: {type(self.decoder).__name__} reads the {DESCRIPTIONS[self.decoder.reads]}, which a "
                f"context of {'last states' if history else 'a sparse field'} lacks: {remedy}."
            )
        if random and getattr(self.decoder, "random", 0) != random:
            name = type(self.decoder).__name__
            raise InputError(f"random is {random}, but {name} reads no such numbers: set it to 0.")

    def posterior(self, batch: Batch, streams: RandomStreams) -> Posterior:
        """q(z | c)."""
        return self.encoder(batch.context)

    def decode(
        self, z: Float[Tensor, "batch members latent"], c: Context, streams: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        """The parameters of p(x | z, c), with new random numbers besides z."""
        if self.random:
            z = torch.cat([z, streams.normal(self.random)], dim=2)
        return self.decoder(z, c)

    def compare(self, x: Tensor, drawn: Tensor, c: Context, streams: RandomStreams) -> Terms:
        q = self.encoder(c)
        return self.terms(x, drawn, c, q, q.draw(streams.alone()), streams.step)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Decode draws of q(z | c)."""
        return self.draw_given(self.encoder(c).draw(streams), c, streams)


class LearnedPriorVAE(Autoencoder):
    """x ~ p(x | decoder(z, c)), z ~ p(z | c): the conditional VAE of Sohn, Lee and Yan (2015), eq. 4.

    -log p(x | c) <= E_q[ -log p(x | decoder(z, c)) ] + KL(q(z | x, c) || p(z | c))

    Training draws z from an encoder of the state and its context; a forecast draws it from the prior, a network of the
    context alone.

    Parameters
    ----------
    space
        Grid of the states.
    encoder
        q(z | x, c): a `ContextEncoder` with `target`.
    prior
        p(z | c): an encoder of the context.
    decoder
        The mean of p(x | z, c); by default one that reads the last states (`PastDecoder`).
    likelihood
        p(x | z, c); by default a Gaussian whose sigma is learned.
    latent
        Size of z; parts that take it and do not set it inherit it.
    history
        Number of last states in the context, at least 1.
    kl_weight, kl_warm_up
        Weight of the KL, and the steps, or shares of them, between which it rises; see `Autoencoder`.
    likelihood_noise
        Whether a draw is sampled from p(x | z, c); otherwise it is its mean.
    """

    conditional = True
    shares = ("latent", "history")
    prior: ContextEncoder

    def __init__(
        self, space: Space, encoder: ContextEncoder, prior: ContextEncoder, decoder: Decoder | None = None,
        likelihood: Likelihood | None = None, latent: Count = 200, history: Count = 1, kl_weight: NonNegative = 1.0,
        kl_warm_up: Sequence[float | int] = (0, 0), likelihood_noise: bool = False,
    ):  # fmt: skip
        super().__init__(space, kl_weight, kl_warm_up, likelihood_noise)
        if not encoder.target or prior.target:
            raise InputError(
                "model: the encoder of a LearnedPriorVAE sees the state, and its prior does not: set "
                "model.encoder.target to true, and leave model.prior.target out."
            )
        self.history, self.encoder, self.prior = history, encoder, prior
        self.decoder = decoder or PastDecoder(space, latent, history, 0)
        self.likelihood = likelihood or LearnedGaussian()
        if self.decoder.reads == "fraction":
            raise InputError(
                f"model.decoder: {type(self.decoder).__name__} reads the fraction observed, which a context of last "
                "states lacks: choose another one."
            )

    def posterior(self, batch: Batch, streams: RandomStreams) -> Posterior:
        """q(z | x, c)."""
        return self.encoder(batch.context, batch.x)

    def latent_prior(self, c: Context) -> Posterior:
        """p(z | c)."""
        return self.prior(c)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Decode draws of p(z | c)."""
        return self.draw_given(self.prior(c).draw(streams), c, streams)
