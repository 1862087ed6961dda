"""Diffusion by a denoiser of states with added noise (Karras, Aittala, Aila and Laine 2022), conditional or guided.

    x_s = x + s n,  n ~ N(0, I),    D(x_s, s, c) = a x_s + b F(b' x_s, gamma(s), c),
    a = 1 / (1 + s^2),    b = s / sqrt(1 + s^2),    b' = 1 / sqrt(1 + s^2),

with gamma(s) the sines and cosines of k pi ln(s) / 8, k = 1 .. `FREQUENCIES`, for data of variance 1 (table 1). D
minimises E[(1 + s^2) / s^2 |D - x|^2] with ln s ~ N(-1.2, 1.2^2), which is the mean square error of F, whose target
(x - a x_s) / b has variance 1 at every s. At s = 0 D is x_s, and D tends to F where noise hides the state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Batch, Context, Terms, Trained, channel_count
from fieldcast.models.layers.unet import UNet
from fieldcast.models.options import Count, Number
from fieldcast.models.points import Points
from fieldcast.models.posterior_samplers import (
    MMPS,
    Heun,
    PointTarget,
    RePaint,
    Sampler,
    Target,
    noise_levels,
)
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.schedule import per_datum
from fieldcast.models.space import Space

LEVEL, NOISE = range(2)  # streams of a training step
TRAINING_LOG_NOISE = -1.2, 1.2  # mean and standard deviation of ln s in training, as for images
FREQUENCIES = 16  # number of frequencies in the embedding gamma of the noise level
# limits of the draws, and of their cells, that are in memory together
ROWS_AT_ONCE, CELLS_AT_ONCE = 40, 40 * 4096


class EDM(Trained):
    """A diffusion of x given a context: the last states of a forecast, or observations with their mask.

    Parameters
    ----------
    space
        Grid of the states.
    history
        Number of past states that the network reads; 0: it reads observations and their mask.
    sampler
        Method that turns noise into a draw; by default Heun's method.
    levels
        Number of noise levels of the sampler.
    channels, patch
        Channels of each level and patch size of the U-Net.
    """

    conditional = True

    def __init__(
        self, space: Space, history: Number = 0, sampler: Sampler | None = None, levels: Count = 18,
        channels: Sequence[int] = (64, 128), patch: int = 2,
    ):  # fmt: skip
        super().__init__(space)
        self.history, self.levels = history, levels
        self.sampler = sampler or Heun()
        self.evaluations = self.sampler.evaluations(levels)
        variables = len(space.variables)
        inputs = variables + self.conditions()
        self.network = UNet(
            inputs, variables, space.shape, space.wraps, channels, noise=2 * FREQUENCIES, patch=patch
        )

    def conditions(self) -> int:
        """Number of channels of the context."""
        return channel_count(self.space, self.history, not self.history)

    def condition(self, c: Context) -> Context:
        """The part of the context that the network reads."""
        return c

    def denoise(
        self, x: Float[Tensor, "rows variable y x"], s: Float[Tensor, " rows"], channels: Tensor
    ) -> Float[Tensor, "rows variable y x"]:
        """D(x, s, c) for the channels of c."""
        level = per_datum(s, x)
        width = (1 + level**2).sqrt()
        angle = s.log()[:, None] * torch.arange(1, FREQUENCIES + 1, device=s.device) * math.pi / 8
        embedding = torch.cat([angle.sin(), angle.cos()], dim=1)
        f = self.network(torch.cat([x / width, channels], dim=1), embedding).float()
        return (x / width**2 + level / width * f) * self.space.exists

    def loss(self, batch: Batch, streams: RandomStreams) -> Terms:
        """E[(1 + s^2) / s^2 |D - x|^2] per value."""
        single = streams.alone()
        mean, deviation = TRAINING_LOG_NOISE
        s = (mean + deviation * single.fork(LEVEL).normal()[:, 0]).exp()
        n = single.fork(NOISE).normal(*self.space.state_shape)[:, 0] * self.space.exists
        level = per_datum(s, n)
        channels = self.condition(batch.context).channels(self.space)
        error = self.denoise(batch.x + level * n, s, channels) - batch.x * self.space.exists
        weighted = error**2 * (1 + level**2) / level**2
        return Terms(weighted.flatten(1).sum(dim=1).mean() / self.space.size, {})

    @torch.no_grad()
    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        rows, row_streams = c.repeat(streams.members), streams.per_row()
        size = min(ROWS_AT_ONCE, max(1, CELLS_AT_ONCE // self.space.area.numel()))
        pieces = torch.arange(rows.count, device=self.space.area.device).split(size)
        points = self.points(c)
        of_rows = (
            None if points is None else points.of(torch.arange(c.count).repeat_interleave(streams.members))
        )
        x = torch.cat(
            [
                self.draw(
                    rows[piece], row_streams.of_data(piece), None if of_rows is None else of_rows.of(piece)
                )
                for piece in pieces
            ]
        )
        return x.unflatten(0, (c.count, streams.members))

    def draw(
        self, c: Context, streams: RandomStreams, points: Points | None
    ) -> Float[Tensor, "rows variable y x"]:
        """A draw for each row of a context; a sampler is guided by points, if there are any, else by cells."""
        channels = self.condition(c).channels(self.space)

        def denoise(x: Tensor, s: float) -> Tensor:
            return self.denoise(x, x.new_full((len(x),), s), channels)

        def noise() -> Tensor:
            return streams.normal(*self.space.state_shape)[:, 0] * self.space.exists

        if points is None:
            target = Target(denoise, noise, *self.observations(c))
        else:
            target = PointTarget.of(denoise, noise, points, c.count, self.space.state_shape)
        for x in self.sampler.trajectory(noise_levels(self.levels), target):
            last = x
        return last

    def points(self, c: Context) -> Points | None:
        """Observations that guide the sampler between cells: none, because the network reads observations of cells."""
        return None

    def observations(self, c: Context) -> tuple[Tensor, Tensor, float]:
        """y, m and r of the sampler's target: no observations, because the network reads them as context."""
        y = torch.zeros(c.count, *self.space.state_shape, device=self.space.area.device)
        return y, y.bool(), 0.0


class GuidedEDM(EDM):
    """A diffusion of x given the day of the year alone, guided to observations when it is sampled.

    Its training uses no masks, so that it can be guided to any observing network, whose errors it takes into account.

    Parameters
    ----------
    space
        Grid of the states.
    sampler
        A posterior sampler; by default MMPS.
    levels
        Number of noise levels of the sampler.
    channels, patch
        Channels of each level and patch size of the U-Net.
    """

    def __init__(
        self, space: Space, sampler: Sampler | None = None, levels: Count = 18,
        channels: Sequence[int] = (64, 128, 128), patch: int = 1,
    ):  # fmt: skip
        super().__init__(space, 0, sampler or MMPS(), levels, channels, patch)
        self.accepts_points = not isinstance(self.sampler, RePaint)

    def conditions(self) -> int:
        """Number of channels of the context: season and static fields."""
        return channel_count(self.space)

    def condition(self, c: Context) -> Context:
        """Select from the context what the network is conditioned on: the day."""
        return Context(c.count, day=c.day)

    def observations(self, c: Context) -> tuple[Tensor, Tensor, float]:
        """Observed cells; where nothing is observed, draws are of the prior."""
        if c.observed is None or c.mask is None:
            return super().observations(c)
        return c.observed, c.mask, c.noise**2

    def points(self, c: Context) -> Points | None:
        """Observations between cells, and those of cells beside them; None without any between cells."""
        if c.points is None or not len(c.points):
            return None
        if c.observed is None or c.mask is None or not c.mask.any():
            return c.points
        datum, variable, y, x = c.mask.nonzero().unbind(1)
        cell = y * self.space.shape[1] + x
        weights = torch.zeros(len(cell), 4, device=cell.device)
        weights[:, 0] = 1
        error = torch.full_like(weights[:, 0], c.noise**2)
        of_cells = Points(datum, variable, cell[:, None].expand(-1, 4), weights, c.observed[c.mask], error)
        return c.points.joined(of_cells)
