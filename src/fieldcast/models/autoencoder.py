"""Base class of the variational autoencoders (`vae`): their loss, and the warm-up of its divergence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.conditional import Decoder
from fieldcast.models.core import Batch, Context, Terms, Trained, join_batches
from fieldcast.models.distributions import Posterior, Prior
from fieldcast.models.latent_table import LatentTable
from fieldcast.models.likelihoods import Likelihood
from fieldcast.models.priors import Vamp, prior_given_encoder
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


class Autoencoder(Trained):
    """Base class of the VAEs: a decoder, a prior of its latents, and their loss.

    Loss per cell: (misfit(x, decoder) + kl_weight * KL(q || p)) / cells, the misfit being -log p(x | z) without
    constants. `sample` returns the mean of p(x | z); `likelihood_noise` draws from it.

    Parameters
    ----------
    space
        Grid of the states.
    kl_weight
        Weight of the KL divergence.
    kl_warm_up
        Training steps at which the weight of the KL begins to rise from 0 and at which it reaches `kl_weight` (Bowman
        et al. 2016, section 3.1). With the full weight from the start the posterior may collapse to the prior before
        the decoder has learnt to use z, and it may never recover. Numbers below 1 are shares of the steps of the
        training. The weight is a function of the step alone, so that a resumed training has the same weight; validation
        uses the full weight.
    likelihood_noise
        Whether `sample` adds the noise of p(x | z) to its mean.
    """

    shares: tuple[str, ...] = ("latent",)  # options that parts inherit from their model
    encoder: Any
    decoder: Decoder
    likelihood: Likelihood
    prior: Prior | Vamp

    def __init__(
        self, space: Space, kl_weight: float, kl_warm_up: Sequence[float | int], likelihood_noise: bool
    ):
        super().__init__(space)
        self.kl_weight, self.likelihood_noise = kl_weight, likelihood_noise
        self.omits_noise = not likelihood_noise
        if len(kl_warm_up) != 2 or not 0 <= kl_warm_up[0] <= kl_warm_up[1]:
            raise InputError(
                f"kl_warm_up is {list(kl_warm_up)}: give two steps of the training, such as [200, 260], or two "
                "shares of it, such as [0.1, 0.13], between which the weight of the KL rises."
            )
        self.kl_warm_up = kl_warm_up

    @abstractmethod
    def posterior(self, batch: Batch, streams: RandomStreams) -> Posterior:
        """q(z | .) of data, from which the loss draws z."""

    def prepare(self, training: Iterable[Batch], streams: RandomStreams) -> None:
        """Create the rows of a latent table, and initialise pseudo-inputs with training states.

        A table needs indices and labels alone, and a network nothing: neither holds the states in memory.
        """
        parts = [part for part in (self.encoder, self.prior) if isinstance(part, (LatentTable, Vamp))]
        if not parts:
            return
        if not isinstance(self.prior, Vamp):
            training = (replace(batch, x=batch.x[:, :0]) for batch in training)
        states = join_batches(training)
        for part in parts:
            part.prepare(states, replace(streams, datum=states.index))

    def latent_prior(self, c: Context) -> Prior:
        """p(z), or p(z | c); that of a VampPrior depends on the encoder."""
        return prior_given_encoder(self.prior, self.encoder)

    def decode(
        self, z: Float[Tensor, "batch members latent"], c: Context, streams: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        """The parameters of p(x | z, c)."""
        return self.decoder(z, c)

    def restore(
        self, z: Float[Tensor, "batch members latent"], c: Context, streams: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        """The mean of p(x | z, c)."""
        return self.likelihood.mean(self.decode(z, c, streams))

    def loss(self, batch: Batch, streams: RandomStreams) -> Terms:
        alone = streams.alone()
        q = self.posterior(batch, alone)
        z = q.draw(alone)
        return self.terms(batch.x, self.decode(z, batch.context, alone), batch.context, q, z, streams.step)

    def warm_up_in(self, steps: int) -> Sequence[float | int]:
        """The warm-up in steps of a training of `steps` steps."""
        begin, end = self.kl_warm_up
        return (begin * steps, end * steps) if end < 1 else self.kl_warm_up

    def weight_at(self, step: int) -> float:
        """Weight of the KL at a training step; `kl_weight` in validation."""
        begin, end = self.kl_warm_up
        if not self.training or step >= end:
            return self.kl_weight
        return self.kl_weight * max(0, step - begin) / (end - begin)

    def terms(self, x: Tensor, drawn: Tensor, c: Context, q: Posterior, z: Tensor, step: int) -> Terms:
        """The loss per cell and its two parts."""
        cells = self.space.size
        reconstruction = self.likelihood.misfit(x, drawn[:, 0], self.space.exists).mean() / cells
        kl = self.divergence(q, z, c).mean() / cells
        return Terms(reconstruction + self.weight_at(step) * kl, {"reconstruction": reconstruction, "kl": kl})

    def divergence(self, q: Posterior, z: Tensor, c: Context) -> Float[Tensor, " batch"]:
        """KL(q || p): in closed form where it exists, else log q(z) - log p(z) at the draw z."""
        p = self.latent_prior(c)
        closed = q.kl(p)
        return closed if closed is not None else (q.log_prob(z) - p.log_prob(z)).mean(dim=1)

    def draw_given(
        self, z: Float[Tensor, "batch members latent"], c: Context, streams: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        """The mean of p(x | z, c); with `likelihood_noise` a draw from it."""
        output = self.decode(z, c, streams)
        return (
            self.likelihood.draw(output, streams) if self.likelihood_noise else self.likelihood.mean(output)
        )
