"""Pieces of the cells of a record, so that temporary tables do not grow with it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

ENTRIES = 2**20  # of a table that is in memory at once


def pieces(cells: int, width: int) -> list[slice]:
    """Slices of the cells, whose tables of `width` values for each have at most `ENTRIES` entries."""
    step = max(1, ENTRIES // max(width, 1))
    return [slice(start, min(start + step, cells)) for start in range(0, cells, step)]


def counts(observed: Bool[Tensor, "time cell"]) -> tuple[Int[Tensor, " time"], Int[Tensor, " cell"]]:
    """Number of observed values of each time and of each cell: a sum of truth values takes eight bytes for each."""
    of_time, of_cell = (observed.new_zeros(size, dtype=torch.long) for size in observed.shape)
    for cells in pieces(observed.shape[1], len(observed)):
        of_time += observed[:, cells].sum(1)
        of_cell[cells] = observed[:, cells].sum(0)
    return of_time, of_cell
