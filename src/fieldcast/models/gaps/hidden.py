"""Observed values that are hidden from the methods, with their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Hidden:
    """Hidden values, one after another.

    Parameters
    ----------
    shape
        Numbers of times and cells of the record.
    time, cell
        Their places in the record.
    truth
        Their values.
    whole
        Which of them belong to a time at which all values of their variable are hidden.
    group
        Number of the gap, or run of times, with which each was hidden; their errors depend on each other.
    area
        Area of their cells.
    weight
        Weight of each in means over the missing values; the sum is 1.
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
        here = (self.cell >= cells.start) & (self.cell < cells.stop)
        parts = (
            self.time,
            self.cell - cells.start,
            self.truth,
            self.whole,
            self.group,
            self.area,
            self.weight,
        )
        return Hidden((self.shape[0], cells.stop - cells.start), *(part[here] for part in parts))

    @property
    def mask(self) -> Bool[Tensor, "time cell"]:
        """Mask of the hidden values of the record."""
        mask = torch.zeros(self.shape, dtype=torch.bool, device=self.time.device)
        mask[self.time, self.cell] = True
        return mask

    def at(self, x: Shaped[Tensor, "time cell"]) -> Float[Tensor, " hidden"]:
        """Values of a matrix at the hidden places."""
        return x[self.time, self.cell].double()

    def weights(self, selected: Bool[Tensor, " hidden"]) -> Float[Tensor, " hidden"]:
        """Weights of some of them, 0 elsewhere: areas, if they are samples of no missing value."""
        weight = self.weight * selected
        return weight if weight.any() else self.area * selected


def joined(selections: Sequence[Hidden]) -> Hidden:
    """Several selections from a record, one after another; their weights count alike, and their groups stay apart."""
    groups, largest = [], 0
    for hidden in selections:
        groups.append(hidden.group + largest * hidden.group.sign())
        largest += int(hidden.group.abs().max())
    parts = {
        name: torch.cat([getattr(hidden, name) for hidden in selections])
        for name in ("time", "cell", "truth", "whole", "area")
    }
    weight = torch.cat([hidden.weight / len(selections) for hidden in selections])
    return Hidden(selections[0].shape, **parts, group=torch.cat(groups), weight=weight)
