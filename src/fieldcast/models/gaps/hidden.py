"""Observed values that are hidden from the fillers of a record, with their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Hidden:
    """Hidden values as a list.

    Parameters
    ----------
    shape
        Numbers of times and cells of the record.
    time, cell
        Row and column of each value in the record.
    truth
        Value that was observed.
    whole
        Mask of the values at times at which all values of their variable are hidden.
    group
        Number of the gap or run of times that each value was hidden with; errors of one group are correlated.
    area
        Area of the cell of each value.
    weight
        Weight of each value in means over the missing values; the sum is 1.
    """

    shape: tuple[int, int]
    time: Int[Tensor, " hidden"]
    cell: Int[Tensor, " hidden"]
    truth: Float[Tensor, " hidden"]
    whole: Bool[Tensor, " hidden"]
    group: Int[Tensor, " hidden"]
    area: Float[Tensor, " hidden"]
    weight: Float[Tensor, " hidden"]

    def of_cells(self, cells: slice) -> Hidden:
        """The hidden values of some cells, numbered as in a record of these cells alone."""
        inside = (self.cell >= cells.start) & (self.cell < cells.stop)
        tensors = (
            self.time,
            self.cell - cells.start,
            self.truth,
            self.whole,
            self.group,
            self.area,
            self.weight,
        )
        return Hidden((self.shape[0], cells.stop - cells.start), *(tensor[inside] for tensor in tensors))

    @property
    def mask(self) -> Bool[Tensor, "time cell"]:
        """Mask of the hidden values of the record."""
        mask = torch.zeros(self.shape, dtype=torch.bool, device=self.time.device)
        mask[self.time, self.cell] = True
        return mask

    def at(self, x: Shaped[Tensor, "time cell"]) -> Float[Tensor, " hidden"]:
        """Elements of a matrix at the hidden values, in double precision."""
        return x[self.time, self.cell].double()

    def weights(self, selected: Bool[Tensor, " hidden"]) -> Float[Tensor, " hidden"]:
        """Weights of the selected values, 0 for all others; areas instead if the weights of all selected are 0."""
        weight = self.weight * selected
        return weight if weight.any() else self.area * selected


def join_selections(selections: Sequence[Hidden]) -> Hidden:
    """Concatenate several selections from a record, with equal total weights and distinct numbers of groups."""
    groups, largest = [], 0
    for hidden in selections:
        groups.append(hidden.group + largest * hidden.group.sign())
        largest += int(hidden.group.abs().max())
    tensors = {
        name: torch.cat([getattr(hidden, name) for hidden in selections])
        for name in ("time", "cell", "truth", "whole", "area")
    }
    weight = torch.cat([hidden.weight / len(selections) for hidden in selections])
    return Hidden(selections[0].shape, **tensors, group=torch.cat(groups), weight=weight)
