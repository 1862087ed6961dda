"""Weights of an ensemble's deviations by which a local ensemble Kalman filter moves its members.

    x_a,m = x_b,m + sum_j X_j w_jm,    w = A C d 1^T + W - I,
    A = ((M - 1) I / rho + C Y)^-1,    W = ((M - 1) A)^(1/2),

X: deviations of the M members from their mean; Y: those of the observed values; d: innovations of the mean; C = Y^T T
R^-1, T the weights of the observations at a cell, so that a distant observation counts as one with a large error. The
symmetric square root changes members least. Hunt, Kostelich and Szunyogh (2007, "Efficient data assimilation for
spatiotemporal chaos: a local ensemble transform Kalman filter", eq. 20 to 25).

Sampling and errors of the model make the covariance of few members too small. Two measures raise it:

- inflation i of the deviations of the background, rho = 1 + (i^2 - 1) t, t the largest T of an accepted observation:
  without observations in reach, members stay as they are, and cycling cannot inflate them without bound;
- relaxation a of the deviations to those of the background, W -> (1 - a) W + a I (Zhang, Snyder and Sun 2004, "Impacts
  of initial estimate and observation availability on convective-scale data assimilation with an ensemble Kalman
  filter", eq. 5).

With perturbed observations (Burgers, van Leeuwen and Evensen 1998, "Analysis scheme in the ensemble Kalman filter"),

    W = A ((M - 1) rho^(-1/2) I + Y^T (T R^-1)^(1/2) eta),

eta standard normal for each observation and member, and centred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.innovations import MAX_INNOVATION
from fieldcast.models.gaussian.robustness import observation_error
from fieldcast.models.random_streams import RandomStreams

# observations whose products of members are computed together: 6.5 MB for 40 members
OBSERVATIONS_PER_PRODUCT = 512
MIN_ERROR_VARIANCE = 1e-30  # keeps an exact observation from a division by 0 where all members agree

Taper = Callable[[Tensor], Tensor]  # from indices of observations (part,) to their T (node, part)


class Departures(NamedTuple):
    """Members and observations at the observed values, in standard deviations of the errors of observation."""

    z: Float[Tensor, "batch members observed"]  # Y R^-1/2; 0 where the observation is rejected
    d: Float[Tensor, "batch observed"]  # innovations of the mean
    accepted: Bool[Tensor, "batch observed"]


def departures(
    h: Float[Tensor, "batch members observed"],
    y: Float[Tensor, "batch observed"],
    instrument: Float[Tensor, " observed"],
    inflation: float,
    dtype: torch.dtype,
) -> Departures:
    """Departures of observations y from members h, rounded to `dtype`; `instrument` holds the error variances.

    An observation is rejected if its innovation exceeds `MAX_INNOVATION` standard deviations of its distribution,
    sqrt(HPH^T + R), P the covariance of the inflated members.
    """
    mean = h.mean(1)
    deviations = h - mean[:, None]
    variance = deviations.square().sum(1) / (h.shape[1] - 1)
    error = observation_error(instrument, variance, 0.0, 0.0, dtype).clamp(min=MIN_ERROR_VARIANCE)
    accepted = (y - mean).square() <= MAX_INNOVATION**2 * (inflation**2 * variance + error)
    root = error.sqrt()
    return Departures(deviations / root[:, None] * accepted[:, None], (y - mean) / root, accepted)


def local_weights(
    observed: Departures,
    taper: Taper,
    inflation: float = 1.0,
    relaxation: float = 0.0,
    eta: Float[Tensor, "batch members observed"] | None = None,
) -> Float[Tensor, "batch node members members"]:
    """The weights w_jm at some nodes, j before m.

    Parameters
    ----------
    observed
        Members and observations.
    taper
        Function from indices of observations to their T at the nodes.
    inflation
        Factor i.
    relaxation
        Share a.
    eta
        Perturbations of the observations; None for the symmetric square root.
    """
    members = observed.z.shape[1]
    square, pull, reach = (torch.zeros((), dtype=torch.double, device=observed.z.device) for _ in range(3))
    for part in torch.arange(observed.z.shape[2], device=observed.z.device).split(OBSERVATIONS_PER_PRODUCT):
        t, z = taper(part), observed.z[..., part]
        square = square + tapered_products(z, z, t)  # C Y
        pull = pull + tapered_products(z, observed.d[:, None, part], t)  # C d
        if eta is not None:
            pull = pull + (1 - relaxation) * tapered_products(z, eta[..., part], t.sqrt())
        reach = torch.maximum(reach, (t * observed.accepted[:, None, part]).amax(-1))
    rho = (1 + (inflation**2 - 1) * reach)[..., None]
    eigenvalues, v = torch.linalg.eigh(square)
    # eigenvalues of (M - 1) A: exactly 1 without observations
    a = (members - 1) / ((members - 1) / rho + eigenvalues.clamp(min=0))
    w = a.sqrt() if eta is None else a / rho.sqrt()
    mean = (v * a[..., None, :]) @ (v.mT @ pull) / (members - 1)
    return mean + (1 - relaxation) * (v * (w - 1)[..., None, :]) @ v.mT


def tapered_products(
    x: Float[Tensor, "batch i observed"],
    y: Float[Tensor, "batch j observed"],
    t: Float[Tensor, "node observed"],
) -> Float[Tensor, "batch node i j"]:
    """sum_o t_no x_io y_jo, by way of the smaller of two products of three dimensions."""
    if len(t) <= y.shape[1]:
        return (x[:, None] * t[:, None]) @ y[:, None].mT
    return ((x[:, :, None] * y[:, None]) @ t.T).movedim(-1, 1)


def perturbations(streams: RandomStreams, observed: int) -> Float[Tensor, "batch members observed"]:
    """Standard normal errors of observations, minus their mean over the members."""
    eta = streams.normal(observed).double()
    return eta - eta.mean(1, keepdim=True)


def rotate_members(
    w: Float[Tensor, "batch cell members members"], streams: RandomStreams
) -> Float[Tensor, "batch cell members members"]:
    """Follow the weights by a random rotation O of the members about their mean, the same in all cells.

    w -> (I + w) O - I, with O uniform among the orthogonal matrices with O 1 = 1.
    """
    members = w.shape[-1]
    unit = torch.eye(members, dtype=w.dtype, device=w.device)
    u = torch.linalg.qr(torch.cat([torch.ones_like(unit[:, :1]), unit[:, 1:]], dim=1))[0][:, 1:]
    q, r = torch.linalg.qr(streams.normal(members)[:, 1:, 1:].to(w))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]  # uniform (Mezzadri 2007)
    o = 1 / members + u @ q @ u.T
    return w @ o[:, None] + (o - unit)[:, None]


def move_members(
    x: Float[Tensor, "batch members variable y x"], w: Float[Tensor, "batch cell members members"]
) -> Float[Tensor, "batch members variable y x"]:
    """Add the increments X w to the members, which stay the same bit for bit where w is 0."""
    deviations = (x - x.mean(1, keepdim=True)).flatten(3).permute(0, 3, 2, 1)  # (B, cells, V, M)
    return x + (deviations @ w.to(x)).permute(0, 3, 2, 1).unflatten(3, x.shape[3:])
