"""The Shapiro filter, which removes barely resolved waves and hardly affects any others.

    x - D^n x,    D = -(second difference) / 4 along an axis,

multiplies a wave of length L grid spacings by 1 - sin(pi / L)^(2n). The shortest wave, L = 2, vanishes in one step; for
n = 16 a wave with L = 3 keeps 0.99, and one with L = 4 keeps 1 - 2^-16. The filter acts along longitude, then latitude.
Beyond a border or a coast the field is extended by its last value, so that cells that do not exist do not matter.

R. Shapiro (1970), Smoothing, filtering, and boundary effects, Reviews of Geophysics 8, 359-387.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def smoothing(linked: Bool[Tensor, "line cell"], order: int) -> Float[Tensor, "line cell cell"]:
    """I - D^n for each line of cells, as symmetric matrices.

    `linked` is true where a cell and the next one both exist; the first cell follows the last.
    """
    eye = torch.eye(linked.shape[1], dtype=torch.float64)
    links = linked.double()[..., None] * eye.roll(1, 1)
    links = links + links.mT
    return (eye - torch.linalg.matrix_power((torch.diag_embed(links.sum(-1)) - links) / 4, order)).float()


class Shapiro(nn.Module):
    """Shapiro filter of order n, on a grid where some cells may not exist."""

    def __init__(self, exists: Bool[Tensor, "y x"], wraps: bool, order: int):
        super().__init__()
        along_x, along_y = exists & exists.roll(-1, 1), (exists & exists.roll(-1, 0)).T.clone()
        along_y[:, -1] = False
        if not wraps:
            along_x[:, -1] = False
        self.register_buffer("x", smoothing(along_x.cpu(), order), persistent=False)
        self.register_buffer("y", smoothing(along_y.cpu(), order), persistent=False)

    def forward(self, field: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead y x"]:
        # the filter acts on states, for which bfloat16 is too coarse
        with torch.autocast(field.device.type, enabled=False):
            along_x = torch.einsum("...yx,yxz->...yz", field.float(), self.x)
            return torch.einsum("...yx,xyz->...zx", along_x, self.y)
