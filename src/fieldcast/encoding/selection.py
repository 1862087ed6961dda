"""Indices of the data in a training batch."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from fieldcast.models.random_streams import generator_for


def batch_index(
    step: int, seed: int, groups: Int[Tensor, " training"] | None, length: int, size: int
) -> Tensor:
    """Indices of the data in the batch of a step, drawn without replacement; from one group if there are groups."""
    generator = generator_for("batch", seed, step)
    if groups is None:
        return torch.randperm(length, generator=generator)[:size]
    first = torch.randint(length, (), generator=generator)
    group = torch.nonzero(groups == groups[first])[:, 0]
    return group[torch.randperm(len(group), generator=generator)[:size]]
