"""Pieces of the cells of a record, so that temporary tables do not grow with it; threads for small ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: for tables so small that several threads mostly wait for each other.

    Two of them take twice the time on idle cores, and five times on busy ones.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)
