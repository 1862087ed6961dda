"""Names of the treatments of images, which `image_transforms` defines: options name them without importing torch."""

from typing import Literal

Treatment = Literal["threshold", "bernoulli", "grey", "dequantised", "symmetric"]
BINARY: tuple[Treatment, ...] = ("threshold", "bernoulli")  # those that give zeros and ones
