"""An ensemble network: x = network(c, e), e ~ N(0, I), trained on the score that evaluates its draws.

    loss = mean over cells of CRPS(x^1 .. x^M; x),

the fair CRPS of two or more of its own draws (Gneiting and Raftery 2007, eq. 21; Ferro 2014, eq. 8). No
likelihood is assumed: the network learns the spread that minimises the score. This calibrates the marginal distribution
of each cell; a share of the loss may be the CRPS of differences between cells (contrasts.py), which rewards members
with the spatial structure of weather, too.

A share of the noise e may persist, as red noise over a rollout. Model errors are correlated from one step to the next,
while members with independent noise at each step drift apart like random walks: a spread that is right after days would
be too wide on the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Context, Terms, Trained, channel_count
from fieldcast.models.layers.crps import area_mean_crps, fair_crps
from fieldcast.models.layers.unet import ResidualBlock, UNet
from fieldcast.models.options import Count, Number
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

# factor of the initial FiLM weights: overdispersion is slower to correct than underdispersion
FILM_INIT_SCALE = 0.1


class Ensemble(Trained):
    """A U-Net of the last `history` states, season and static fields, with `noise` normal numbers as input by FiLM.

    Members share only the context; the noise acts on all cells, so that a draw is a coherent field.

    Parameters
    ----------
    space
        Grid of the states.
    history
        Number of past states that the network reads.
    noise
        Number of standard normal inputs, shared by all cells.
    persistent_noise
        Share of them that is red noise over a rollout. Their meaning is learned in rollouts: a model trained without
        rollouts is far too overdispersed with them.
    noise_decorrelation_days
        Decorrelation time of the red noise in days; in steps if the length of a step is unknown.
    fields
        Number of additional noise fields on the coarsest cells of the U-Net, new at every step, for local variations.
    contrasts
        Share of the CRPS of contrasts in the loss; below 1, because contrasts do not constrain the level of a field.
    channels
        Channels of each level of the U-Net.
    patch
        Size of the patches of the U-Net.
    """

    ensemble = True
    compares_draws = True

    def __init__(
        self, space: Space, history: Count = 2, noise: Count = 32, persistent_noise: float | int = 0,
        noise_decorrelation_days: float | int = 10.0, fields: Number = 0, contrasts: float | int = 0,
        channels: Sequence[int] = (64, 128), patch: int = 2,
    ):  # fmt: skip
        super().__init__(space)
        if not 0 <= persistent_noise <= 1:
            raise InputError(
                f"persistent_noise is {persistent_noise:g}: give a share of the noise, from 0 to 1."
            )
        if not 0 <= contrasts < 1:
            raise InputError(f"contrasts is {contrasts:g}: give a share of the loss, from 0 to less than 1.")
        if noise_decorrelation_days <= 0:
            raise InputError(
                f"noise_decorrelation_days is {noise_decorrelation_days:g}: give a number of days above 0."
            )
        self.pairs = pairs_of(space) if contrasts else []
        if contrasts and not self.pairs:
            raise InputError(
                f"contrasts is {contrasts:g}, but no two cells of this grid that have values are "
                f"{', '.join(map(str, DISTANCES))} cells apart: set it to 0."
            )
        self.history, self.fields, self.contrasts = history, fields, contrasts
        self.red = round(persistent_noise * noise)
        self.white = noise - self.red
        self.decorrelation_steps = noise_decorrelation_days / (space.step / 24 or 1)
        inputs, outputs = channel_count(space, history), len(space.variables)
        self.network = UNet(
            inputs, outputs, space.shape, space.wraps, channels, noise=noise, fields=fields, patch=patch
        )
        for block in self.network.modules():
            if isinstance(block, ResidualBlock) and block.film is not None:
                for weight in block.film.parameters():
                    weight.data.mul_(FILM_INIT_SCALE)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        red, white = red_noise(streams, self.red, self.decorrelation_steps), streams.normal(self.white)
        noise = torch.cat([red, white], dim=-1)  # (B, M, noise)
        inputs = c.channels(self.space).repeat_interleave(noise.shape[1], dim=0)
        fields = streams.normal(self.fields, *self.network.coarsest).flatten(0, 1) if self.fields else None
        return self.network(inputs, noise.flatten(0, 1), fields).float().unflatten(0, noise.shape[:2])

    def loss(self, batch: Batch, streams: RandomStreams) -> Terms:
        return self.compare(batch.x, self.sample(batch.context, streams), batch.context, streams)

    def compare(self, x: Tensor, drawn: Tensor, c: Context, streams: RandomStreams) -> Terms:
        """(1 - s) CRPS of cells + s CRPS of contrasts, s = `contrasts`; area-weighted means over all variables."""
        weight = self.space.weight
        crps = area_mean_crps(drawn, x, weight)
        with torch.no_grad():
            deviations = drawn - drawn.mean(dim=1, keepdim=True)  # `var` is slow along members
            variance = deviations.square().sum(dim=1) / (drawn.shape[1] - 1)
            spread = (variance * weight).sum(dim=(2, 3)).mean().sqrt()
        parts = {"crps": crps, "spread": spread}
        if not self.contrasts:
            return Terms(crps, parts)
        contrasts = contrast_crps(drawn, x, self.space, self.pairs)
        return Terms(
            (1 - self.contrasts) * crps + self.contrasts * contrasts, {**parts, "contrasts": contrasts}
        )


# The fair CRPS of contrasts: differences between two cells at a distance, along longitude or along latitude.
#
#     x(s + d) - x(s)
#
# A score of separate cells is insensitive to the correlation of errors between cells: members that are too smooth,
# each offset over a whole region, may score as well as members with the structure of weather. Contrasts distinguish
# them. The idea comes from the variogram score (Scheuerer and Hamill 2015, Variogram-based proper scoring rules for
# probabilistic forecasts of multivariate quantities, Monthly Weather Review 143), with the fair CRPS in place of its
# moments. Contrasts do not constrain the level of a field: they complement a score of cells.


DISTANCES = 1, 2, 4, 8  # distances in cells, from the smallest resolved structures to weather systems
LATITUDE, LONGITUDE = -2, -1


class Pairs(NamedTuple):
    """All pairs of cells that are `distance` cells apart along an axis, which may wrap round the globe."""

    distance: int
    axis: int
    wraps: bool

    def ends(self, x: Shaped[Tensor, "*lead y x"]) -> tuple[Tensor, Tensor]:
        """x(s + d) and x(s). Round the globe, pairs are at most half a turn apart."""
        size = x.shape[self.axis]
        if self.wraps and 2 * self.distance <= size:
            return x.roll(-self.distance, self.axis), x
        count = 0 if self.wraps else max(size - self.distance, 0)
        return x.narrow(self.axis, size - count, count), x.narrow(self.axis, 0, count)

    def contrast(self, x: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead y2 x2"]:
        """x(s + d) - x(s)."""
        return torch.sub(*self.ends(x))

    def weight(self, space: Space) -> Float[Tensor, "y2 x2"]:
        """The mean area of the two cells; 0 if one of them does not exist."""
        both = torch.logical_and(*self.ends(space.exists))
        return torch.stack(self.ends(space.area)).mean(0) * both


def pairs_of(space: Space) -> list[Pairs]:
    """Pairs at all `DISTANCES` along both axes that exist on the grid."""
    candidates = [
        Pairs(distance, axis, space.wraps and axis == LONGITUDE)
        for axis in (LONGITUDE, LATITUDE)
        for distance in DISTANCES
    ]
    return [pairs for pairs in candidates if pairs.weight(space).any()]


def contrast_crps(
    draws: Float[Tensor, "batch members variable y x"],
    truth: Float[Tensor, "batch variable y x"],
    space: Space,
    pairs: list[Pairs],
) -> Float[Tensor, ""]:
    """Fair CRPS of the contrasts: the area-weighted mean over pairs, then the mean over distances and directions."""
    scores = []
    for at_distance in pairs:
        weight = at_distance.weight(space)
        crps = fair_crps(at_distance.contrast(draws), at_distance.contrast(truth))
        scores.append((crps * weight).sum((-2, -1)).mean() / weight.sum())
    return torch.stack(scores).mean()


# Red noise: standard normal numbers that change slowly over a rollout, as model errors do.
#
#     z_t = a cos(omega t) + b sin(omega t),    a, b ~ N(0, 1),    omega ~ Cauchy(0, 1 / T).
#
# Given omega, z is a Gaussian process with the autocovariance cos(omega (t - s)). Its mean over omega, the
# characteristic function of the Cauchy distribution, is exp(-|t - s| / T): that of an autoregression of order one
# with decorrelation time T. Unlike an autoregression it has no state: z_t is a function of t and of numbers that
# belong to the member, so that a rollout can resume from any lead. The autocovariance holds over members, not over
# time: the z of a single member is a wave, which never decorrelates.
#
# A. Rahimi and B. Recht (2007), Random features for large-scale kernel machines, figure 1: the frequencies of a
# Laplacian kernel. T. N. Palmer et al. (2009), Stochastic parametrization and model uncertainty, ECMWF Technical
# Memorandum 598: perturbations of weather models that are autoregressions in time.


def red_noise(streams: RandomStreams, size: int, decorrelation: float) -> Float[Tensor, "batch members size"]:
    """Draw `size` independent numbers z_t for each member, t = `draws.lead`; `decorrelation` is T in steps."""
    persistent = streams.persistent()
    a, b = persistent.normal(2, size).unbind(dim=2)
    omega = (math.pi * (persistent.uniform(size).double() - 0.5)).tan() / decorrelation
    angle = omega * streams.lead  # in double precision: single precision would lose the phase of large angles
    return a * angle.cos().float() + b * angle.sin().float()
