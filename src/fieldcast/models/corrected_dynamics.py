"""A linear inverse model whose forecasts a network corrects, for use inside `Stepped`.

    x = m + (d - m) exp(g) + s M,    (g, M) = network(c, m, e),    e ~ N(0, I),

m the linear inverse model's mean of the next state, d a draw of it, s the standard deviation of one-step differences.
M moves the mean and, through e, adds spread that depends on the state; g scales the linear model's deviations in each
cell. Where the network is zero, x is the draw d: the model starts from a stationary forecast whose members have the
spectra of weather, and short training cannot make it worse than that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Batch, Context, Terms, Trained, channel_count
from fieldcast.models.layers.crps import area_mean_crps
from fieldcast.models.layers.unet import UNet
from fieldcast.models.linear_inverse_model import LinearInverseModel
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

BASE, NOISE = range(2)  # streams of a draw
MAX_LOG_GAIN = 1.0  # largest |g|: deviations shrink or grow at most e-fold in a step


class CorrectedDynamics(Trained):
    """The linear inverse model's mean and draws plus a U-Net, trained with the fair CRPS of two or more of its draws.

    Draws are tendencies, (x - last state) / s, which `Stepped` adds to the last state. No gradient passes through the
    linear model: over a rollout the network sees the gradient of the states that it reads itself.

    Parameters
    ----------
    space
        Grid of the states.
    base
        The linear inverse model, solved and tuned before training.
    noise
        Number of standard normal inputs e of the network, shared by all cells.
    channels
        Channels of each level of the U-Net.
    """

    ensemble = True
    compares_draws = True

    def __init__(
        self, space: Space, base: LinearInverseModel, noise: int = 16, channels: Sequence[int] = (64, 128)
    ):
        super().__init__(space)
        self.base, self.history, self.noise = base, base.history, noise
        variables = len(space.variables)
        inputs = channel_count(space, self.history) + variables  # the context and m
        self.network = UNet(inputs, 2 * variables, space.shape, space.wraps, channels, noise=noise)
        self.register_buffer("scale", space.tendency[:, None, None].clone(), persistent=False)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        # half precision is for the network alone: the operators of the base are cached
        with torch.no_grad(), torch.autocast(c.base().device.type, enabled=False):
            m, d = self.base.mean(c), self.base.sample(c, streams.fork(BASE))
        e = streams.fork(NOISE).normal(self.noise)  # (B, M, noise)
        inputs = torch.cat([c.channels(self.space), m], dim=1).repeat_interleave(e.shape[1], dim=0)
        g, shift = self.network(inputs, e.flatten(0, 1)).unflatten(0, e.shape[:2]).chunk(2, dim=2)
        gain = torch.exp(g.clamp(-MAX_LOG_GAIN, MAX_LOG_GAIN))
        x = m[:, None] + (d - m[:, None]) * gain + self.scale * shift
        return (x - c.base()[:, None]) / self.scale

    def loss(self, batch: Batch, streams: RandomStreams) -> Terms:
        return self.compare(batch.x, self.sample(batch.context, streams), batch.context, streams)

    def compare(self, x: Tensor, drawn: Tensor, c: Context, streams: RandomStreams) -> Terms:
        """The fair CRPS: area-weighted mean over all variables."""
        crps = area_mean_crps(drawn, x, self.space.weight)
        return Terms(crps, {"crps": crps})
