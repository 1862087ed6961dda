"""Red noise: standard normal numbers that change slowly over a rollout, as model errors do.

    z_t = a cos(omega t) + b sin(omega t),    a, b ~ N(0, 1),    omega ~ Cauchy(0, 1 / T).

Given omega, z is a Gaussian process with the autocovariance cos(omega (t - s)). Its mean over omega, the characteristic
function of the Cauchy distribution, is exp(-|t - s| / T): that of an autoregression of order one with decorrelation
time T. Unlike an autoregression it has no state: z_t is a function of t and of numbers that belong to the member, so
that a rollout can resume from any lead. The autocovariance holds over members, not over time: the z of a single member
is a wave, which never decorrelates.

A. Rahimi and B. Recht (2007), Random features for large-scale kernel machines, figure 1: the frequencies of a Laplacian
kernel. T. N. Palmer et al. (2009), Stochastic parametrization and model uncertainty, ECMWF Technical Memorandum 598:
perturbations of weather models that are autoregressions in time.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from fieldcast.models.random_streams import RandomStreams


def red_noise(draws: RandomStreams, size: int, decorrelation: float) -> Float[Tensor, "batch members size"]:
    """Draw `size` independent numbers z_t for each member, t = `draws.lead`; `decorrelation` is T in steps."""
    persistent = draws.persistent()
    a, b = persistent.normal(2, size).unbind(dim=2)
    omega = (math.pi * (persistent.uniform(size).double() - 0.5)).tan() / decorrelation
    angle = omega * draws.lead  # in double precision: single precision would lose the phase of large angles
    return a * angle.cos().float() + b * angle.sin().float()
