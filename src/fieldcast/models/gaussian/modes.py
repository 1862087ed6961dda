"""Modes of states in memory: empirical orthogonal functions across all variables.

`streamed_modes` computes those of a record that does not fit in memory.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

MIN_VARIANCE_SHARE = 1e-6  # modes with less than this share of the variance of the first are rounding errors


def modes(
    x: Float[Tensor, "time cell"], area: Float[Tensor, " cell"], count: int
) -> Float[Tensor, "mode cell"]:
    """F^T: the leading modes of x, orthogonal under `area`, times the deviations of their coefficients.

    F F^T is the best approximation of the covariance x^T x / T with `count` modes, cells weighted by area. The
    smaller of the two Gram matrices is used; nothing is divided by the area, which almost vanishes at a pole.
    """
    times, cells = x.shape
    root = area.sqrt()
    weighted = x * root
    if times <= cells:
        variance, u = torch.linalg.eigh((weighted @ weighted.T).double() / times)
        del weighted  # states of many cells take much of the memory, and so do the modes
        keep = slice(max(times - count, 0), None)
        f = (u[:, keep] / times**0.5).T.to(x) @ x
    else:
        variance, v = torch.linalg.eigh((weighted.T @ weighted).double() / times)
        keep = slice(max(cells - count, 0), None)
        score = weighted @ (v[:, keep] / variance[keep].clamp(min=1e-30).sqrt()).to(x)
        f = score.T @ x / times
    f = f[variance[keep] > MIN_VARIANCE_SHARE * variance[-1]]
    return f.flip(0)
