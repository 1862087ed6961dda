"""Red noise: standard normal numbers that change slowly over a rollout, as the errors of a model do.

    z_t = a cos(omega t) + b sin(omega t),    a, b ~ N(0, 1),    omega ~ Cauchy(0, 1 / T).

Given omega, z is a Gaussian process with the autocovariance cos(omega (t - s)); its mean over omega, the characteristic
function of the Cauchy distribution, is exp(-|t - s| / T): that of an autoregression of order one with memory T. Unlike
that it needs no state: z_t is a function of the member's own numbers and t, so that a rollout goes on from any lead.
Random frequencies: Rahimi and Recht (2007), section 3. That members with errors which last are what an ensemble needs:
Buizza, Miller and Palmer (1999).
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from fieldcast.models.draws import Draws


def red_noise(draws: Draws, size: int, memory: float) -> Float[Tensor, "batch members size"]:
    """`size` independent numbers z_t for each member, t = `draws.lead`; `memory`: T in steps."""
    own = draws.lasting()
    a, b = own.normal(2, size).unbind(dim=2)
    omega = (
        math.pi * (own.uniform(size).double() - 0.5)
    ).tan() / memory  # some are so large that floats are too short
    angle = omega * draws.lead
    return a * angle.cos().float() + b * angle.sin().float()
