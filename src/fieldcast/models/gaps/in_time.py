"""Records cell by cell in time: linear interpolation, and red noise, between the observed neighbours of each value.

Red noise has the correlation rho^|t - u| (an AR(1) process), so that given its cell a value depends on its observed
neighbours i <= t <= j alone. With a = t - i, b = j - t and the variance v of the process,

    E x_t = (rho^a (1 - rho^2b) x_i + rho^b (1 - rho^2a) x_j) / (1 - rho^2(a+b)),
    var x_t = v (1 - rho^2a) (1 - rho^2b) / (1 - rho^2(a+b)),

without x_j E x_t = rho^a x_i, var x_t = v (1 - rho^2a). As rho rises to 1, this becomes linear interpolation.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LARGEST = 1 - 1e-6  # rho
FEWEST_PAIRS = 10  # of values, for a correlation
FAR = 2**20  # steps between segments, and to a neighbour that is not there


def neighbours_in_time(
    observed: Bool[Tensor, "time cell"],
) -> tuple[Int[Tensor, "time cell"], Int[Tensor, "time cell"]]:
    """Index of the last observed time at or before each value, -1 without; of the first at or after, T without."""
    times = len(observed)
    index = torch.arange(times, device=observed.device)[:, None]
    before = torch.where(observed, index, -1).cummax(0).values
    after = torch.where(observed, index, times).flip(0).cummin(0).values.flip(0)
    return before, after


def linear_in_time(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], hours: Float[Tensor, " time"]
) -> Float[Tensor, "time cell"]:
    """Interpolation between the observed times of each cell, constant beyond them; 0 in cells never observed."""
    before, after = neighbours_in_time(observed)
    last = len(x) - 1
    x = torch.where(observed, x, 0.0)
    i = torch.where(before < 0, after.clamp(max=last), before)
    j = torch.where(after > last, before.clamp(min=0), after)
    apart = hours[j] - hours[i]
    share = torch.where(apart > 0, (hours[:, None] - hours[i]) / torch.where(apart > 0, apart, 1.0), 0.0).to(
        x
    )
    return (1 - share) * x.gather(0, i) + share * x.gather(0, j)


def red_noise(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], segment: Int[Tensor, " time"]
) -> tuple[Float[Tensor, "time cell"], Float[Tensor, "time cell"]]:
    """Mean and standard deviation of each value as red noise of variance 1 about 0; segments are independent."""
    rho, last = persistence(x, observed, segment), len(x) - 1
    step = torch.arange(len(x), device=x.device, dtype=torch.float64)
    step += FAR * (segment.diff(prepend=segment[:1]) != 0).cumsum(0)
    before, after = neighbours_in_time(observed)
    x = torch.where(observed, x, 0.0)
    a = torch.where(before < 0, FAR, step[:, None] - step[before.clamp(min=0)])
    p = (rho**a).to(x)
    del a
    b = torch.where(after > last, FAR, step[after.clamp(max=last)] - step[:, None])
    q = (rho**b).to(x)
    del b
    whole = (1 - (p * q).square()).clamp(min=torch.finfo(x.dtype).tiny)
    mean = p * (1 - q.square()) * x.gather(0, before.clamp(min=0)) + q * (1 - p.square()) * x.gather(
        0, after.clamp(max=last)
    )
    variance = (1 - p.square()) * (1 - q.square()) / whole
    return torch.where(observed, x, mean / whole), variance.clamp(min=0).sqrt()


def persistence(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], segment: Int[Tensor, " time"]
) -> float:
    """rho: the correlation of all pairs one step apart, or the root of that at the first lag with enough pairs."""
    z, o = torch.where(observed, x, 0.0), observed.to(x)
    for lag in range(1, len(x)):
        together = (segment[lag:] == segment[:-lag])[:, None] * o[lag:] * o[:-lag]
        if together.sum() >= FEWEST_PAIRS:
            square = (z[lag:].square() * together).sum() * (z[:-lag].square() * together).sum()
            correlation = float((z[lag:] * z[:-lag] * together).sum() / square.sqrt()) if square > 0 else 0.0
            return min(max(correlation, 0.0) ** (1 / lag), LARGEST)
    return 0.0
