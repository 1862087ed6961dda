"""Whether the decoder of a VAE uses its latent: the error of its draws with other latents than those of the datum."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.autoencoder import Autoencoder
from fieldcast.models.core import Batch, Context, Model
from fieldcast.models.latent_table import LatentTable
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import evenly
from fieldcast.models.stepped import Stepped, step
from fieldcast.training.batches import Batches

MEMBERS = 8  # draws of z for each datum


class FixedLatent(Model):
    """A VAE whose latent is given: every draw, at each stage of a step, decodes the same z."""

    def __init__(self, vae: Autoencoder, z: Float[Tensor, "rows 1 latent"]):
        super().__init__(vae.space)
        self.vae, self.z = vae, z

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "rows 1 variable y x"]:
        return self.vae.restore(self.z, c, streams)


@torch.no_grad()
def latent_use(model: Model, data: Batches, seed: int, count: int) -> dict[str, float]:
    """The KL divergence of a VAE [nats], and the error of one draw with z of three sources.

    The error is the root of the area-weighted mean square over `count` evenly spaced data and `MEMBERS` draws, in
    standardised units: `rmse_posterior` with z ~ q, `rmse_other` with the z of another datum, a third of the data
    away, and `rmse_prior` with z ~ p. The decoder does not use z if the three are equal. `latent_kl` is KL(q || p),
    summed over the components of z. z is held over the stages of a Runge-Kutta step, and all other random numbers are
    those of the first source. Empty for a model without an encoder.
    """
    vae = model.model if isinstance(model, Stepped) else model
    if not isinstance(vae, Autoencoder) or isinstance(vae.encoder, LatentTable):
        return {}
    index = evenly(len(data), count).to(model.space.area.device)
    streams = RandomStreams(seed_for("latent use", seed), index, MEMBERS)
    batch = data.batch(index, streams)
    batch = replace(batch, index=None)
    difference = model.difference(batch) if isinstance(model, Stepped) else batch
    q, p = vae.posterior(difference, streams.alone()), vae.latent_prior(batch.context)
    z = q.draw(streams)
    sources = {"posterior": z, "other": z.roll(len(z) // 3, dims=0), "prior": p.draw(streams)}
    row_streams = streams.per_row()
    return {
        "latent_kl": float(vae.divergence(q, z[:, :1], batch.context).mean()),
        **{f"rmse_{name}": rmse(model, vae, batch, latent, row_streams) for name, latent in sources.items()},
    }


def rmse(
    model: Model,
    vae: Autoencoder,
    batch: Batch,
    z: Float[Tensor, "batch members latent"],
    streams: RandomStreams,
) -> float:
    """Root of the area-weighted mean squared error of draws of the model with these latents."""
    fixed, c = FixedLatent(vae, z.flatten(0, 1)[:, None]), batch.context.repeat(z.shape[1])
    if isinstance(model, Stepped):
        x = step(fixed, c, streams, model.scale, model.scheme)
        x = x if model.filter is None else model.filter(x)
    else:
        x = fixed.sample(c, streams.again())[:, 0]
    squared = (x.unflatten(0, z.shape[:2]) - batch.x[:, None]).square() * model.space.weight
    return math.sqrt(float(squared.sum(dim=(-2, -1)).mean()))
