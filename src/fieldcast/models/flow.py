"""A normalising flow: x = f^-1(e), e ~ N(0, I), of affine coupling layers (Dinh, Sohl-Dickstein and Bengio 2017).

    log p(x) = log N(f(x); 0, I) + log |df/dx|,    f = coupling_L o ... o coupling_1 o scale o logit

The density is exact. Discrete data must be dequantised: otherwise it grows without bound (Theis et al. 2016, 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fieldcast.models.core import Batch, Context, Density, Terms, Trained
from fieldcast.models.distributions import standard_normal_log_prob
from fieldcast.models.layers.coupling import Convolutions, Coupling, Dense, TwoDense, checkerboard
from fieldcast.models.options import Count, Interval, require_interval
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

EDGE = 0.05  # margin at both ends of the interval before the logit (Dinh et al. 2017, section 4.1)


class Logit(nn.Module):
    """y = logit(a + (1 - 2 a) r), r = (x - low) / (high - low): maps an interval to the real line.

    dy/dx = (1 - 2 a) / ((high - low) s (1 - s)), where s = a + (1 - 2 a) r.
    """

    def __init__(self, low: float, high: float):
        super().__init__()
        self.low, self.size = low, high - low

    def forward(self, x: Float[Tensor, "batch *state"]) -> tuple[Tensor, Tensor]:
        """y, and log dy/dx of each cell; x is clamped to the interval."""
        s = EDGE + (1 - 2 * EDGE) * ((x - self.low) / self.size).clamp(0, 1)
        y = torch.log(s) - torch.log1p(-s)
        return y, F.softplus(-y) + F.softplus(y) + math.log((1 - 2 * EDGE) / self.size)

    def inverse(self, y: Float[Tensor, "batch *state"]) -> Float[Tensor, "batch *state"]:
        r = (torch.sigmoid(y) - EDGE) / (1 - 2 * EDGE)
        return self.low + self.size * r


class Flow(Trained):
    """A flow of affine couplings with alternating checkerboard masks; `network` computes log scale s and shift t.

    Each cell is first scaled by its mean and standard deviation, initially those of the training states, so that
    convolutions, which are translation invariant, need not learn the mean field. Loss: -log p(x) per cell, in nats.

    Parameters
    ----------
    space
        Grid of the states.
    layers
        Number of coupling layers.
    hidden
        Units or channels of the hidden layers.
    network
        "dense": one hidden layer over all cells; "two dense": one such network for s and another for t, as in the
        report (docs/systems.md); "convolution": 3 x 3 convolutions, for fields, where dense layers would not
        fit in memory.
    interval
        Range of the data, (0, 1) for images, which a logit maps to the real line; None: the real line.
    scaled
        Whether each cell is scaled first; the report does not.
    """

    conditional = False
    density: Density = "exact"

    def __init__(
        self, space: Space, layers: Count = 20, hidden: Count = 256,
        network: Literal["dense", "two dense", "convolution"] = "convolution",
        interval: Interval | None = None, scaled: bool = True,
    ):  # fmt: skip
        super().__init__(space)
        if interval is not None:
            require_interval(interval, "interval")
        self.logit = None if interval is None else Logit(float(interval[0]), float(interval[1]))
        self.scaled = scaled
        self.shift = nn.Parameter(torch.zeros(space.state_shape), requires_grad=scaled)
        self.log_scale = nn.Parameter(torch.zeros(space.state_shape), requires_grad=scaled)
        exists = space.exists.expand(space.state_shape)
        build = {
            "dense": lambda: Dense(space.state_shape, hidden),
            "two dense": lambda: TwoDense(space.state_shape, hidden),
            "convolution": lambda: Convolutions(space, hidden),
        }[network]
        self.layers = nn.ModuleList(
            Coupling(build(), checkerboard(space.state_shape, bool(i % 2)), exists) for i in range(layers)
        )

    @torch.no_grad()
    def prepare(self, training: Iterable[Batch], streams: RandomStreams) -> None:
        """Initialise the shift and scale of each cell with its mean and standard deviation."""
        if not self.scaled:
            return
        n, first, second = 0, torch.zeros(self.space.state_shape).double(), torch.zeros(())
        for batch in training:
            y = (batch.x if self.logit is None else self.logit(batch.x)[0]).double()
            n, first, second = n + len(y), first.to(y) + y.sum(dim=0), second.to(y) + y.square().sum(dim=0)
        mean, overall = first / n, first.mean() / n
        deviation = ((second / n - mean.square()).clamp(min=0) * n / max(n - 1, 1)).sqrt()
        least = 1e-2 * (second.mean() / n - overall.square()).clamp(min=0).sqrt() + 1e-6
        self.shift.copy_(mean)
        self.log_scale.copy_(deviation.clamp(min=float(least)).log())

    def encode(self, x: Float[Tensor, "batch variable y x"]) -> tuple[Tensor, Float[Tensor, " batch"]]:
        """f(x), zero where no cell exists, and log |df/dx| over the cells that exist."""
        exists, change = self.space.exists, torch.zeros_like(x)
        if self.logit is not None:
            x, change = self.logit(x)
        e = (x - self.shift) * torch.exp(-self.log_scale) * exists
        log_det = ((change - self.log_scale) * exists).flatten(1).sum(dim=1)
        for layer in self.layers:
            e, change = layer(e)
            log_det = log_det + change
        return e, log_det

    def decode(self, e: Float[Tensor, "batch variable y x"]) -> Float[Tensor, "batch variable y x"]:
        """f^-1(e)."""
        x = e * self.space.exists
        for layer in reversed(self.layers):
            x = layer.inverse(x)
        x = x * torch.exp(self.log_scale) + self.shift
        return (x if self.logit is None else self.logit.inverse(x)) * self.space.exists

    def log_prob(self, x: Float[Tensor, "batch variable y x"]) -> Float[Tensor, " batch"]:
        """log p(x), exact, in nats."""
        e, log_det = self.encode(x)
        dense = standard_normal_log_prob(e) * self.space.exists
        return dense.flatten(1).sum(dim=1) + log_det

    def loss(self, batch: Batch, streams: RandomStreams) -> Terms:
        return Terms(-self.log_prob(batch.x).mean() / self.space.size, {})

    def log_weights(self, batch: Batch, streams: RandomStreams) -> Float[Tensor, "batch members"]:
        """log p(x), equal for all draws."""
        return self.log_prob(batch.x)[:, None].expand(-1, streams.members)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        e = streams.normal(*self.space.state_shape)
        return self.decode(e.flatten(0, 1)).unflatten(0, e.shape[:2])
