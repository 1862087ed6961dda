"""The Shapiro filter (Shapiro 1970, section 3): what no grid resolves is taken away, and hardly anything else.

    x - D^n x,    D = -(second difference) / 4 along an axis,

multiplies a wave of length L grid spacings by 1 - sin(pi / L)^(2n): the shortest, of two, goes in one step; with
n = 16 one of three keeps 0.99, one of four 1 - 2^-16. First along longitude, then along latitude; at a border the value
outside is that of the border.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def smoothing(size: int, order: int, wraps: bool) -> Float[Tensor, "size size"]:
    """I - D^n along one axis, as a matrix."""
    eye = torch.eye(size, dtype=torch.float64)
    before, after = eye.roll(1, 0), eye.roll(-1, 0)
    if not wraps:
        before[0], after[-1] = eye[0], eye[-1]
    return (eye - torch.linalg.matrix_power((2 * eye - before - after) / 4, order)).float()


class Shapiro(nn.Module):
    """The filter of an order n, on a grid."""

    def __init__(self, shape: tuple[int, int], order: int, wraps: bool):
        super().__init__()
        self.register_buffer("y", smoothing(shape[0], order, wraps=False), persistent=False)
        self.register_buffer("x", smoothing(shape[1], order, wraps).T.contiguous(), persistent=False)

    def forward(self, field: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead y x"]:
        return self.y @ field @ self.x
