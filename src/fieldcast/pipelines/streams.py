"""Streaming nodes with several outputs: one step is in memory at a time, and complete outputs are reused."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

import xarray as xr

from fieldcast.lineage import Lineage, matches

P = ParamSpec("P")
T = TypeVar("T", bound=Sequence[Any])


class Earlier(NamedTuple):
    """An output of an earlier run: the complete pieces of an interrupted one, its state, or the complete data."""

    pieces: int = 0
    state: bytes | None = None
    data: Any = None


def earlier_output(earlier: Mapping[str, Any], output: str) -> Earlier:
    """The output of an earlier run; nothing without one."""
    return Earlier(*earlier.get(output, ()))


class ReleaseOnRead(list[Any]):
    """The outputs of one step; each is released when it is read, so it can be read once."""

    def __getitem__(self, index: Any) -> Any:
        value = super().__getitem__(index)
        self[index] = None
        return value


def streamed(generate: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """Wrap a generator so that its steps do not pile up.

    Kedro splits a stream of tuples into one stream per output by `itertools.tee`, which releases items in blocks of 57
    only: that many training states, or leads of a forecast, would stay in memory.
    """

    @functools.wraps(generate)
    def stream(*args: P.args, **kwargs: P.kwargs) -> Iterator[Any]:
        for step in generate(*args, **kwargs):
            yield ReleaseOnRead(step)

    # Kedro looks at the parameters of the function itself, not of what it wraps
    stream.__signature__ = inspect.signature(generate)  # type: ignore[attr-defined]
    return stream


def is_complete(
    earlier: Mapping[str, Any], lineage: Lineage, names: Sequence[str] = ("draws", "costs")
) -> bool:
    """Whether an earlier run has stored these outputs, with data sets of this lineage."""
    outputs = [earlier.get(name) for name in names]
    lineages = [output.attrs for output in outputs if isinstance(output, xr.Dataset)]
    complete = not any(output is None for output in outputs)
    return complete and all(matches(attrs, lineage) for attrs in lineages)


def empty_piece(stored: xr.Dataset, dim: str) -> xr.Dataset:
    """The piece after the last one of a complete store along `dim`, which leaves it as it is."""
    pieces = stored.sizes[dim]
    return stored.isel({dim: slice(0)}).assign_attrs(piece=pieces, pieces=pieces)
