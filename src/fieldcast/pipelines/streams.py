"""Streaming nodes with several outputs: one step is in memory at a time, and complete outputs are reused."""

from __future__ import annotations

from typing import Any

import xarray as xr

from fieldcast.kinds import LAYOUTS
from fieldcast.lineage import Lineage, matches


class ReleaseOnRead(list[Any]):
    """The outputs of one step of a generator node; each is released when it is read, so it can be read once.

    Kedro splits a stream of tuples into one stream per output by `itertools.tee`, which releases items in blocks of 57
    only: that many training states, or leads of a forecast, would stay in memory.
    """

    def __getitem__(self, index: Any) -> Any:
        value = super().__getitem__(index)
        self[index] = None
        return value


def released(*outputs: Any) -> Any:
    """The outputs of one step of a generator node, as it yields them."""
    return ReleaseOnRead(outputs)


def is_complete(lineage: Lineage, *outputs: Any, kind: str | None = None) -> bool:
    """Whether an earlier run has stored all of these outputs: data sets of this lineage, in the layout of `kind`."""
    stored = [output for output in outputs if isinstance(output, xr.Dataset)]
    complete = not any(output is None for output in outputs)
    alike = kind is None or {x.dims for each in stored for x in each.data_vars.values()} <= {LAYOUTS[kind]}
    return complete and alike and all(matches(output, lineage) for output in stored)


def empty_piece(stored: xr.Dataset, dim: str) -> xr.Dataset:
    """The piece after the last one of a complete store along `dim`, which leaves it as it is."""
    pieces = stored.sizes[dim]
    return stored.isel({dim: slice(0)}).assign_attrs(piece=pieces, pieces=pieces)
