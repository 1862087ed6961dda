"""The data of one training step."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from fieldcast.models.random_streams import generator_for


def batch_index(
    step: int, seed: int, groups: Int[Tensor, " training"] | None, length: int, size: int
) -> Tensor:
    """The data of step t: drawn without replacement, of one group where there are groups."""
    generator = generator_for("batch", seed, step)
    if groups is None:
        return torch.randperm(length, generator=generator)[:size]
    first = torch.randint(length, (), generator=generator)
    mates = torch.nonzero(groups == groups[first])[:, 0]
    return mates[torch.randperm(len(mates), generator=generator)[:size]]
