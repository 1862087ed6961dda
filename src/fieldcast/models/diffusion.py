"""Denoising diffusion (Ho, Jain and Abbeel 2020): reverses the forward chain of `schedule` step by step.

    x_T ~ N(0, I),    x_{t-1} = sqrt(abar_{t-1}) x0 + sqrt(1 - abar_{t-1} - v) eps + sigma n,    n ~ N(0, I),

with eps = network(x_t, t, c) and x0 = (x_t - sqrt(1 - abar_t) eps) / sqrt(abar_t), the expected data.
The first two terms are the mean of q(x_{t-1} | x_t, x_0) at x_0 = x0 for v its variance; sigma^2, the variance of the
added noise, is beta_t or v.

The network is trained on the noise, E |eps - network(sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, t)|^2 (eq. 14).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Context, Density, Terms, Trained, channel_count
from fieldcast.models.layers.unet import UNet
from fieldcast.models.options import Count, NonNegative, Positive
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.schedule import Schedule, per_datum
from fieldcast.models.space import Space

MIN_STEPS = 2  # of the schedule: abar_T is 1e-3 for 2 steps, and .9 for one
SNAPSHOTS = 999, 200, 100, 50, 20, 10, 0  # values of t, from noise to data, at which figures show x_t


@runtime_checkable
class NoisePredictor(Protocol):
    """Predicts eps from x_t; t counts from zero, and each row has its own t."""

    def __call__(
        self, x: Float[Tensor, "rows variable y x"], t: Int[Tensor, " rows"], c: Context
    ) -> Float[Tensor, "rows variable y x"]: ...


class TimedUNet(nn.Module):
    """eps = sqrt(1 - abar_t) x_t + UNet(x_t, t, c), with t by FiLM and the context as input channels.

    The first term is the best linear estimate of the noise in data of variance 1. At large t, where x0 results from a
    division by almost zero, it dominates: a network that had to learn to copy x_t would be wrong by many standard
    deviations (Karras et al. 2022, section 5, on such skip connections).

    Parameters
    ----------
    space, schedule
        Grid of the states and schedule of the chain.
    channels, patch
        Channels of each level and patch size of the U-Net.
    embedding
        Size of the embedding of t.
    conditions
        Channels of the context; by default the static fields alone.
    padded
        Whether the U-Net extends the grid until every level is exactly halved.
    """

    def __init__(
        self, space: Space, schedule: Schedule, channels: Sequence[int] = (32, 64, 128, 128), patch: int = 1,
        embedding: int = 64, conditions: int | None = None, padded: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.space, self.schedule, self.embedding = space, schedule, embedding
        variables = len(space.variables)
        unconditional = channel_count(space, extra_channels=["static"])
        inputs = variables + (unconditional if conditions is None else conditions)
        self.correction = UNet(
            inputs, variables, space.shape, space.wraps, channels, noise=embedding, patch=patch, padded=padded
        )

    def forward(self, x: Tensor, t: Tensor, c: Context) -> Float[Tensor, "rows variable y x"]:
        inputs = torch.cat([x, c.channels(self.space)], dim=1)
        guess = per_datum((1 - self.schedule.abar(t)).sqrt(), x) * x
        return guess + self.correction(inputs, sinusoids(t, self.embedding)).float()


def sinusoids(t: Int[Tensor, " rows"], size: int) -> Float[Tensor, "rows size"]:
    """sin and cos of t / 10000^(i / n), i = 0 .. n - 1, n = size / 2 (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(-math.log(10_000) * torch.arange(size // 2, device=t.device) / (size // 2))
    angle = t[:, None] * rate
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)


class Diffusion(Trained):
    """Denoising diffusion with T = `steps` of a linear schedule from 1e-4 to 0.02.

    Parameters
    ----------
    space
        Grid of the states.
    network
        Predicts eps; by default a `TimedUNet`.
    steps
        Number T of steps of the chain.
    sampler
        "ancestral" takes all T steps and adds noise of variance beta_t at each but the last (Ho et al. 2020, algorithm
        2); "ddim" takes `ddim_steps` of them (see `times`), with v = eta^2 times the variance of q(x_s | x_t, x_0)
        (Song, Meng and Ermon 2021, eq. 12 and 16).
    ddim_steps
        Largest number of steps of DDIM.
    eta
        Noise level of DDIM; 0 adds no noise but the initial one.
    clip
        Largest |x0|, 1 for images in [-1, 1]; None: unlimited.
    channels, patch, padded
        Channels of each level and patch size of the default network, and whether it extends the grid until every level
        is exactly halved.
    """

    conditional = False
    density: Density = "lower bound"

    def __init__(
        self, space: Space, network: NoisePredictor | None = None, steps: Count = 1000,
        sampler: Literal["ancestral", "ddim"] = "ancestral", ddim_steps: Count = 50, eta: NonNegative = 0.0,
        clip: Positive | None = None, channels: Sequence[int] = (32, 64, 128, 128), patch: int = 1,
        padded: bool = False,
    ):  # fmt: skip
        super().__init__(space)
        if steps < MIN_STEPS:
            raise InputError(
                f"model.steps = {steps}: a chain from data to noise takes {MIN_STEPS} steps or more."
            )
        self.schedule = Schedule.of(steps)
        self.network = network or TimedUNet(space, self.schedule, channels, patch, padded=padded)
        self.sampler, self.eta, self.clip = sampler, eta, clip
        self.ddim_steps = steps if sampler == "ancestral" else min(ddim_steps, steps)
        self.evaluations = len(self.times())

    def loss(self, batch: Batch, streams: RandomStreams) -> Terms:
        """Mean square error of the predicted noise over the cells that exist."""
        single = streams.alone()
        t = single.integers(len(self.schedule))[:, 0]
        error = self.error(batch, t, single)
        return Terms(error.mean() / self.space.size, {})

    def error(
        self, batch: Batch, t: Int[Tensor, " batch"], streams: RandomStreams
    ) -> Float[Tensor, " batch"]:
        """|eps - network(x_t, t, c)|^2 at one time for each datum."""
        eps = streams.normal(*self.space.state_shape)[:, 0] * self.space.exists
        predicted = self.network(self.schedule.noised(batch.x, t, eps), t, batch.context)
        return ((predicted - eps) ** 2 * self.space.exists).flatten(1).sum(dim=1)

    def denoise(
        self, x: Float[Tensor, "rows variable y x"], t: Int[Tensor, " rows"], c: Context
    ) -> Float[Tensor, "rows variable y x"]:
        """E[x_0 | x_t]."""
        abar = per_datum(self.schedule.abar(t), x)
        x0 = (x - (1 - abar).sqrt() * self.network(x, t, c)) / abar.sqrt()
        return x0 if self.clip is None else x0.clamp(-self.clip, self.clip)

    def times(self) -> list[int]:
        """Times of the reverse chain, from T - 1 down to 0.

        DDIM's steps are evenly spaced, except for some that lead exactly to the states of `SNAPSHOTS`.
        """
        last, count = len(self.schedule) - 1, self.ddim_steps
        exact = (
            [t - 1 for t in SNAPSHOTS if 0 < t < 0.9 * last] if 4 * len(SNAPSHOTS) <= count <= last else []
        )
        even = torch.linspace(last, 0, count - len(exact)).round().long().tolist()
        return sorted({*even, *exact}, reverse=True)

    def reverse_step(
        self, x: Float[Tensor, "rows variable y x"], t: int, before: int, c: Context, n: Tensor
    ) -> Float[Tensor, "rows variable y x"]:
        """Step x from t back to the time `before` (-1: the data), with the standard normal n except for the data."""
        now = torch.full((len(x),), t, device=x.device)
        x0 = self.denoise(x, now, c)
        abar, then = (per_datum(self.schedule.abar(time), x) for time in (now, torch.full_like(now, before)))
        variance = per_datum(self.schedule.posterior(now, torch.full_like(now, before))[2], x)
        if self.sampler == "ddim":
            variance = spread = self.eta**2 * variance
        else:
            spread = 1 - abar / then  # beta_t
        eps = (x - abar.sqrt() * x0) / (1 - abar).sqrt()
        mean = then.sqrt() * x0 + (1 - then - variance).clamp(min=0).sqrt() * eps
        return mean if before < 0 else mean + spread.sqrt() * n

    @torch.no_grad()
    def trajectory(
        self, c: Context, streams: RandomStreams
    ) -> Iterator[tuple[int, Float[Tensor, "rows variable y x"]]]:
        """Yield (t, x_t), with a row for each member, from the initial noise, t = T, to the draw, t = 0.

        This t counts how often x_t has been noised, as in the papers, and is not the index of a step.
        """
        exists, repeated, row_streams = self.space.exists, c.repeat(streams.members), streams.per_row()
        x = row_streams.normal(*self.space.state_shape)[:, 0] * exists
        times = self.times()
        yield len(self.schedule), x
        for t, before in zip(times, [*times[1:], -1], strict=True):
            x = (
                self.reverse_step(x, t, before, repeated, row_streams.normal(*self.space.state_shape)[:, 0])
                * exists
            )
            yield before + 1, x

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        for _, x in self.trajectory(c, streams):
            last = x
        return last.unflatten(0, (c.count, streams.members))

    def snapshots(
        self, c: Context, streams: RandomStreams, at: Sequence[int] = SNAPSHOTS
    ) -> dict[int, Float[Tensor, "batch members variable y x"]]:
        """States x_t of a draw at the requested t, keyed by t; DDIM returns the nearest ones of its chain."""
        available = [len(self.schedule), *(t + 1 for t in self.times()[1:]), 0]
        nearest = {min(available, key=lambda t: abs(t - time)) for time in at}
        shape = (c.count, streams.members)
        return {t: x.unflatten(0, shape) for t, x in self.trajectory(c, streams) if t in nearest}

    def log_weights(self, batch: Batch, streams: RandomStreams) -> Float[Tensor, "batch members"]:
        """Estimates of the variational bound on log p(x), in nats; their mean is the bound (eq. 5).

        -KL(q(x_T | x_0) || N(0, I)) - sum_t KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) + log p(x_0 | x_1),
        p(x_{t-1} | x_t) of variance beta_t. The parts due to the variances are summed over all t. Each member estimates
        the sum of those due to the means from one t of 1 .. T, stratified over the members, with probability
        log(1 + 1 / t) / log(1 + T): they decrease about as 1 / t, so that with equal probabilities few members would
        have the t that matter. The bound is that of the ancestral chain without `clip`, whatever `sampler` draws.
        Images must be dequantised.
        """
        members, steps = streams.members, len(self.schedule)
        u = streams.uniform().double()
        stratum = torch.arange(members, device=u.device)
        t = ((steps + 1) ** ((stratum + u) / members) - 1).long().clamp(max=steps - 1).flatten()
        probability = torch.log1p(1 / (t + 1).double()) / math.log(steps + 1)
        repeated = Batch(batch.x.repeat_interleave(members, dim=0), batch.context.repeat(members))
        error = self.error(repeated, t, streams.per_row()).double()
        variances = self.variance_kl(torch.arange(steps, device=t.device)).sum()
        bound = self.mean_kl(t, error) / probability + variances + self.prior_kl(repeated.x)
        return -bound.to(batch.x.dtype).unflatten(0, (len(batch.x), members))

    def mean_kl(self, t: Int[Tensor, " rows"], error: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """The part of step t's KL divergence due to the means, at t = 0 that of -log p(x_0 | x_1).

        It is beta / (2 alpha (1 - abar)) |eps - network|^2, with alpha = 1 - beta.
        """
        beta, abar = self.schedule.beta[t], self.schedule.abar(t)
        return beta / (2 * (1 - beta) * (1 - abar)) * error

    def variance_kl(self, t: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """The part of step t's KL divergence due to the variances, at t = 0 the rest of -log p(x_0 | x_1)."""
        beta = self.schedule.beta[t]
        ratio = torch.where(t > 0, self.schedule.posterior(t)[2] / beta, 1.0)
        per_cell = torch.where(t > 0, ratio - 1 - ratio.log(), torch.log(2 * math.pi * beta)) / 2
        return self.space.size * per_cell

    def prior_kl(self, x: Float[Tensor, "rows variable y x"]) -> Float[Tensor, " rows"]:
        """KL(q(x_T | x_0) || N(0, I))."""
        cells = self.space.size
        square = (x.double() ** 2 * self.space.exists).flatten(1).sum(dim=1) / cells
        last = torch.full((len(x),), len(self.schedule) - 1, device=x.device)
        return cells * self.schedule.kl_to_standard(last, square)
