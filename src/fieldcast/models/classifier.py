"""A small image classifier, whose last hidden layer provides the features for FID and KID.

Two convolutions of 3 x 3 with ReLU, each followed by a maximum over 2 x 2 cells, and a hidden layer: the usual
replacement, for 28 x 28 grey images, of a network trained on photographs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class Classifier(nn.Module):
    """Classes of images x in [0, 1].

    Parameters
    ----------
    shape
        Numbers (Y, X) of cells of an image.
    classes
        Number of classes.
    channels
        Channels of the two convolutions.
    features
        Size of the hidden layer.
    """

    def __init__(
        self, shape: tuple[int, int], classes: int, channels: Sequence[int] = (32, 64), features: int = 64
    ):
        super().__init__()
        first, second = channels
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(1, first, 3, padding=1), nn.Conv2d(first, second, 3, padding=1)]
        )
        self.hidden = nn.Linear(second * (shape[0] // 4) * (shape[1] // 4), features)
        self.out = nn.Linear(features, classes)

    def features(self, x: Float[Tensor, "batch 1 y x"]) -> Float[Tensor, "batch features"]:
        """The last hidden layer."""
        for convolution in self.convolutions:
            x = F.max_pool2d(F.relu(convolution(x)), 2)
        return F.relu(self.hidden(x.flatten(1)))

    def forward(self, x: Float[Tensor, "batch 1 y x"]) -> Float[Tensor, "batch classes"]:
        """Log odds of the classes."""
        return self.out(self.features(x))

    def loss(self, x: Float[Tensor, "batch 1 y x"], label: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Cross entropy [nats]."""
        return F.cross_entropy(self(x), label)
