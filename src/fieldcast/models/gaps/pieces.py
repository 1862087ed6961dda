"""Pieces of the cells of a record, so that temporary tables do not grow with it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

MAX_TABLE_ENTRIES = 2**20  # largest number of entries of a temporary table


def pieces(cells: int, width: int) -> list[slice]:
    """Slices of the cells, whose tables of `width` values for each have at most `MAX_TABLE_ENTRIES` entries."""
    step = max(1, MAX_TABLE_ENTRIES // max(width, 1))
    return [slice(start, min(start + step, cells)) for start in range(0, cells, step)]


def counts(observed: Bool[Tensor, "time cell"]) -> tuple[Int[Tensor, " time"], Int[Tensor, " cell"]]:
    """Number of observed values at each time and in each cell, in pieces: a sum of a mask takes eight bytes a value."""
    of_time, of_cell = (observed.new_zeros(size, dtype=torch.long) for size in observed.shape)
    for cells in pieces(observed.shape[1], len(observed)):
        of_time += observed[:, cells].sum(1)
        of_cell[cells] = observed[:, cells].sum(0)
    return of_time, of_cell
