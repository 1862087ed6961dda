"""Observations at points between cells, such as stations: y = H x + eps, with a few weights in each row of H."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Points:
    """Observations of all data of a batch, concatenated.

    Parameters
    ----------
    datum
        Index of the datum in the batch.
    variable
        Index of the observed variable.
    cells
        Indices of cells, (Y, X) flattened.
    weights
        Row of H: the weight of each of these cells. The sum of a row is 1.
    y
        Observed values, standardised.
    error
        Variance of eps, standardised.
    """

    datum: Int[Tensor, " n"]
    variable: Int[Tensor, " n"]
    cells: Int[Tensor, "n 4"]
    weights: Float[Tensor, "n 4"]
    y: Float[Tensor, " n"]
    error: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device) -> Points:
        """The observations on a device."""
        return Points(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def __getitem__(self, selected: Tensor) -> Points:
        """Some of the observations, by a boolean mask or by indices."""
        return Points(**{field.name: getattr(self, field.name)[selected] for field in fields(self)})

    def joined(self, other: Points | None) -> Points:
        """Join the observations with others of the same batch."""
        if other is None:
            return self
        return Points(
            **{f.name: torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)}
        )

    def of(self, data: Int[Tensor, " selected"]) -> Points:
        """The observations of some data, renumbered by their position in `data`."""
        observation, position = (self.datum[:, None] == data.to(self.datum.device)).nonzero().unbind(1)
        return replace(self[observation], datum=position)

    def with_error(self, variance: Float[Tensor, " variable"]) -> Points:
        """The observations with an additional independent error, whose variance is given for each variable."""
        return replace(self, error=self.error + variance.to(self.error)[self.variable])

    def at(self, x: Float[Tensor, "batch *members variable y x"]) -> Float[Tensor, "n *members"]:
        """H x, evaluated for the datum of each observation."""
        flat = x.flatten(-2).movedim(-2, 1)  # (B, V, ..., YX)
        members = flat.shape[2:-1]
        index = self.cells.view(len(self), *(1 for _ in members), 4).expand(len(self), *members, 4)
        weights = self.weights.view(len(self), *(1 for _ in members), 4).to(x)
        return (flat[self.datum, self.variable].gather(-1, index) * weights).sum(-1)
