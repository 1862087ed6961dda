"""A classical ensemble corrected by a network.

    x = m + b (d - m) exp(g) + s M,    (g, M) = network(m, s, c),    |g| <= 2,

with d a draw of the base model, m and s its mean and spread, and b the tuned `inflation`. Where the network is zero and
b is 1, x is the draw of the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.capabilities import HasMoments
from fieldcast.models.core import Batch, Context, Solved, Terms, Trained, channel_count
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.layers.unet import UNet
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

MAX_LOG_GAIN = 2.0  # largest |g|
# smallest s, in anomaly standard deviations: exactly observed cells may still be corrected a little
MIN_SPREAD = 1e-3


class Corrected(Trained):
    """Draws of a base model corrected by a U-Net, trained with the fair CRPS of two or more of its own draws.

    During training the base uses a covariance and a sample of errors without the datum (`fold`); otherwise the
    network would learn to trust the base too much. The factorisation of the base dominates the cost, so a batch shares
    one mask and one fold. The score of each variable is divided by its mean spread, so that a gain of one percent has
    the same weight for sparse and for dense observations. `inflation` multiplies the deviations d - m; it is tuned on
    the validation split after training.

    Parameters
    ----------
    space
        Grid of the states.
    base
        Model that is solved in closed form and has a mean m and a spread s besides its draws.
    channels
        Channels of each level of the U-Net, from the finest to the coarsest.
    """

    shares_mask = True
    learns_from_gaps = True
    choices: Mapping[str, Sequence[float]] = MappingProxyType(
        {"inflation": (0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2)}
    )

    def __init__(self, space: Space, base: HasMoments, channels: Sequence[int] = (64, 128)):
        super().__init__(space)
        if not isinstance(base, Solved):  # a solved base is solved before the training
            raise InputError(
                f"model.base: {type(base).__name__} is not solved in closed form: choose another base."
            )
        self.base = base
        variables = len(space.variables)
        inputs = 2 * variables + channel_count(space, observed=True)  # m, s and the context
        self.network = UNet(inputs, 2 * variables, space.shape, space.wraps, channels)
        self.register_buffer("inflation", torch.ones(()))

    @property
    def accepts_points(self) -> bool:  # type: ignore[override]
        """Whether the base accepts points, which correct its draws; the network sees cells only."""
        return self.base.accepts_points

    def analysis(self, c: Context) -> tuple[Tensor, Tensor]:
        """The mean of the base before the correction, and the mask of the points that it rejected."""
        return self.base.analysis(c)

    def groups(self) -> Int[Tensor, " training"]:
        return self.base.folds()

    def suspects(self, c: Context) -> Bool[Tensor, "batch variable y x"]:
        """Observations that the base has down-weighted."""
        return self.base.suspects(c)

    def correct(
        self, c: Context, m: Tensor, s: Tensor, d: Tensor
    ) -> Float[Tensor, "batch members variable y x"]:
        """Correct the draws d; the network is evaluated once for all members."""
        s = s.clamp(min=MIN_SPREAD)
        out = self.network(torch.cat([m, s, c.channels(self.space)], dim=1))
        g, shift = out[:, None].chunk(2, dim=2)
        return (
            m[:, None]
            + self.inflation * (d - m[:, None]) * torch.exp(g.clamp(-MAX_LOG_GAIN, MAX_LOG_GAIN))
            + s[:, None] * shift
        )

    def loss(self, batch: Batch, streams: RandomStreams) -> Terms:
        if batch.index is not None and batch.group is None:
            raise ValueError("training data need their fold: otherwise the base was fitted to them")
        # the covariances of a base that solves for observations are not positive definite in half precision
        with torch.no_grad(), torch.autocast(batch.x.device.type, enabled=False):
            m, s, d = self.base.moments(batch.context, streams, batch.group)
        return self.terms(batch, m, s, d)

    def terms(self, batch: Batch, m: Tensor, s: Tensor, d: Tensor) -> Terms:
        """The loss, given mean m, spread s and draws d of the base."""
        weight = self.space.weight
        if batch.observed is not None:  # only what was observed is scored
            weight = weight * batch.observed
        # (B, V): a function of context and gaps alone, so the score stays proper; 0 only where the score is
        mean_spread = (s * weight).sum(dim=(2, 3)).clamp(min=MIN_SPREAD**2)

        def score(x: Tensor) -> Tensor:
            return ((fair_crps(x, batch.x) * weight).sum(dim=(2, 3)) / mean_spread).mean()

        crps = score(self.correct(batch.context, m, s, d))
        with torch.no_grad():
            gain = 1 - crps / score(d)
        return Terms(crps, {"gain": gain})

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        return self.correct(c, *self.base.moments(c, streams))
