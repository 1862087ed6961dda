"""States with their contexts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from fieldcast.models.core.context import Context


@dataclass(frozen=True, eq=False)
class Batch:
    """States and their contexts.

    Parameters
    ----------
    x
        States (B, V, Y, X), or (B, T, V, Y, X) for a loss over a rollout.
    context
        Their contexts.
    index
        Index of each state in the training set; None for unseen data.
    label
        Class of each image.
    observed
        Mask of the observed values; x is 0 at missing values. None if no value is missing.
    group
        Common group of these training data, for a model that defines `Trained.groups`.
    pushforward
        Number of first steps of a rollout that the loss leaves out: they produce its initial states.
    """

    x: Tensor
    context: Context
    index: Tensor | None = None
    label: Tensor | None = None
    observed: Tensor | None = None
    group: int | None = None
    pushforward: int = 0

    def __getitem__(self, index: Int[Tensor, " selected"] | slice) -> Batch:
        """Select some of the data, as `Context` does."""
        fields = {name: getattr(self, name) for name in ("index", "label", "observed")}
        selected: dict[str, Any] = {
            name: None if field is None else field[index] for name, field in fields.items()
        }
        return replace(self, x=self.x[index], context=self.context[index], **selected)


def join_batches(batches: Iterable[Batch]) -> Batch:
    """Join the states, indices and labels of several batches into one; a single batch is returned as it is."""
    first, *others = batches
    if not others:
        return first
    all_batches = [first, *others]
    index, label = (
        None if getattr(first, name) is None else torch.cat([getattr(batch, name) for batch in all_batches])
        for name in ("index", "label")
    )
    x = torch.cat([batch.x for batch in all_batches])
    return Batch(x, Context(len(x)), index=index, label=label)


def observed_values(batches: Iterable[Batch]) -> Bool[Tensor, "batch values"] | None:
    """Mask of the observed values of all states, flattened; None if none is missing."""
    masks = [batch.observed.flatten(1) for batch in batches if batch.observed is not None]
    return torch.cat(masks) if masks else None
