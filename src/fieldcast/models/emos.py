"""Ensemble model output statistics (Gneiting, Raftery, Westveld and Goldman 2005, doi:10.1175/MWR2904.1, equation 3).

    p(x | x_1 .. x_M) = N(mu, sigma^2),    mu = a v + b m,    sigma^2 = c v^2 + d s^2,

m and s^2 the mean and the variance (divisor M - 1) of the members of another model, v the standard deviation of the
training anomalies of the cell. The coefficients are those of anomalies in units of v: one set for each variable and
lead time, common to all cells. `training/tuning.py` minimises the CRPS of the normal distribution on validation
states; c, d >= 0. Without any skill, at long leads, b = d = 0 and c = 1 give the climatology of each cell.

Members are M independent draws of N(mu, sigma^2) in each cell, which take the ranks of the other model's members there
(ensemble copula coupling with random draws, ECC-R: Schefzik, Thorarinsdottir and Gneiting 2013, doi:10.1214/13-STS443,
section 3); the order of equal members, such as copies of one analogue, is random. Draws, and not equidistant quantiles
(ECC-Q), because the fair CRPS assumes draws and would count quantiles as a better forecast than their distribution.
Ranks carry over the pattern of the members, but the draws of neighbouring cells are independent, so fields are rough. A
deterministic model has no ranks: its fields are noise about mu, and only scores of single cells are meaningful.

A rollout continues from the other model's members, so that calibration at one lead does not change the next; a cycle
that forecasts with EMOS therefore uses the uncalibrated members.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Combined, Context, Model
from fieldcast.models.options import Count
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

# fork of the draws, `reserved_numbers.CALIBRATION_STREAM`: no forecaster forks this number
STREAM = 2005
TIES = 0  # fork of the order of equal members
MIN_DEVIATION = 1e-3  # smallest v and sigma

Members = Float[Tensor, "batch members variable y x"]
States = Float[Tensor, "batch variable y x"]


def moments(x: Members) -> tuple[States, States]:
    """Mean m and variance s^2 of the members; the variance of a single one is 0."""
    m = x.mean(dim=1)
    return m, x.var(dim=1) if x.shape[1] > 1 else torch.zeros_like(m)


def ranks(x: Members, u: Members) -> Int[Tensor, "batch members variable y x"]:
    """Rank of each member in its cell, from 0; equal members are in the order of u, which is random."""
    order = u.argsort(dim=1)
    order = order.gather(1, x.gather(1, order).argsort(dim=1, stable=True))
    return order.argsort(dim=1)


def predictive(
    coefficients: Float[Tensor, "variable 4"], v: Float[Tensor, "variable y x"], m: States, variance: States
) -> tuple[States, States]:
    """mu = a v + b m and sigma = sqrt(c v^2 + d s^2), at least a thousandth of a standard deviation."""
    a, b, c, d = (column[:, None, None] for column in coefficients.unbind(dim=1))
    return a * v + b * m, (c * v.square() + d * variance).clamp(min=MIN_DEVIATION**2).sqrt()


class EMOS(Combined):
    """N(a v + b m, c v^2 + d s^2) about the ensemble of its one part; see the module.

    Parameters
    ----------
    space
        Grid of the states.
    parts
        The model whose forecasts are calibrated.
    leads
        Number of lead times with their own coefficients, from the first step; later ones share the last ones.
    members
        Number of members of the forecasts that the coefficients are fitted to, which m and s^2 depend on.
    """

    calibrates = True
    coefficients: Float[Tensor, "lead variable 4"]
    v: Float[Tensor, "variable y x"]

    def __init__(self, space: Space, parts: Mapping[str, Model], leads: Count = 15, members: Count = 10):
        super().__init__(space, parts)
        if len(parts) > 1:
            raise InputError(f"parts names {', '.join(parts)}: EMOS calibrates one model, so name one.")
        self.leads, self.members = leads, members
        identity = torch.tensor([0.0, 1.0, 0.0, 1.0]).expand(leads, len(space.variables), 4)
        self.register_buffer("coefficients", identity.clone())
        self.register_buffer("v", torch.ones(space.state_shape))

    def solve(self, training: Iterable[Batch]) -> None:
        """Standard deviation of the training anomalies of each cell, about the climatology."""
        squares, count = self.v.new_zeros(self.v.shape, dtype=torch.double), 0
        for batch in training:
            squares += batch.x.square().sum(dim=0, dtype=torch.double)
            count += len(batch.x)
        self.v = (squares / count).sqrt().clamp(min=MIN_DEVIATION).float()

    @property
    def forecaster(self) -> Model:
        """The model whose forecasts are calibrated."""
        part: Model
        (part,) = self.parts.values()
        return part

    def sample(self, c: Context, streams: RandomStreams) -> Members:
        """Members of the calibrated model, from which the next step starts."""
        return self.forecaster.sample(c, streams)

    def calibrated(self, x: Members, streams: RandomStreams) -> Members:
        """Draws of N(mu, sigma^2) at the lead of `streams`, in the ranks of the members x."""
        mu, sigma = self.distribution(*moments(x), streams.lead)
        stream = streams.fork(STREAM)
        z = stream.normal(*self.space.state_shape)
        if not self.forecaster.deterministic:
            u = stream.fork(TIES).uniform(*self.space.state_shape)
            z = z.sort(dim=1).values.gather(1, ranks(x, u))
        return mu[:, None] + sigma[:, None] * z

    def distribution(self, m: States, variance: States, lead: int) -> tuple[States, States]:
        """mu and sigma at a lead time, from 1."""
        return predictive(self.coefficients[min(lead, self.leads) - 1], self.v, m, variance)
