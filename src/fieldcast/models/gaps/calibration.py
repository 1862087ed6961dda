"""Calibration of spreads: the variance of errors as a function of the variance that a method claims, and the CRPS.

The variance of the error at hidden values is fitted to the variance s^2 that the method claims,

    v = a + b s^2,    a, b >= 0,    minimal sum of w (log v + e^2 / v),

the likelihood of a Gaussian.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

ITERATIONS = 30  # of the weighted regression of squared errors
LEAST = 1e-6  # least fitted variance, as a share of the mean squared error


def gaussian_crps(error: Float[Tensor, "*n"], spread: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = error / s (Gneiting et al. 2005, eq. 5)."""
    z = error / spread
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return spread * (z * torch.erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))


def error_variance(
    square: Float[Tensor, " n"], claimed: Float[Tensor, " n"], weight: Float[Tensor, " n"]
) -> tuple[float, float]:
    """a and b of the variance of errors, from their squares, by iteratively reweighted least squares."""
    least = LEAST * float((weight * square).sum() / weight.sum()) or torch.finfo(torch.float64).tiny
    a, b = 0.0, float((weight * square).sum() / (weight * claimed).sum())
    for _ in range(ITERATIONS):
        w = weight / (a + b * claimed).clamp(min=least).square()
        a, b = nonnegative_line(claimed, square, w)
    return max(a, least), b


def nonnegative_line(
    x: Float[Tensor, " n"], y: Float[Tensor, " n"], weight: Float[Tensor, " n"]
) -> tuple[float, float]:
    """a, b >= 0 with the least weighted squares of y - a - b x, for x, y >= 0."""
    s, sx, sy, sxx, sxy = ((weight * term).sum().item() for term in (x.new_ones(()), x, y, x * x, x * y))
    determinant = s * sxx - sx * sx
    if determinant > 1e-9 * s * sxx:
        a, b = (sxx * sy - sx * sxy) / determinant, (s * sxy - sx * sy) / determinant
        if a >= 0 and b >= 0:
            return a, b
        return (0.0, sxy / sxx) if a < 0 else (sy / s, 0.0)
    return 0.0, sxy / sxx
