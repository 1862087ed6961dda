"""The states of a split for training, indexed in order of time: in memory, or read from a store ahead of their use.

A record that does not fit in memory is divided into shards of about 64 MB. Training visits windows of a few shards
(`training.steps`): one window is in memory while a thread reads the next one. States outside of the window, such as
those of a validation, are read one by one, and the most recent ones are kept in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.kinds import state_dimension

SHARD_BYTES = 64 * 2**20  # largest size of a shard
PARALLEL_READS = 2  # number of reads at the same time: one piece is decoded while the next one is read
PIECE_BYTES = 32 * 2**20  # bytes of one read: the allocator keeps memory of this size for the next piece
CACHE_BYTES = 96 * 2**20  # bytes of the states outside of the window that are kept


@runtime_checkable
class Encode(Protocol):
    """Conversion of fields to states, which are written to `out` if it is given."""

    def __call__(
        self, data: xr.Dataset, out: Float[Tensor, "state variable y x"] | None = None
    ) -> Float[Tensor, "state variable y x"]: ...


class Window(NamedTuple):
    """States in memory."""

    values: Float[Tensor, "held variable y x"]
    # index in `values` of each state of the record; -1 if it is not in memory
    position: Int[Tensor, " state"]


@dataclass(eq=False)
class Streamed:
    """States that are read from a record when they are needed.

    Parameters
    ----------
    record
        Fields of a split, opened lazily: a selection of times reads those times alone.
    encode
        Function from fields to states; missing values are NaN.
    days, segment
        As in `States`, on the device of the training.
    exists
        Cells that exist, for a record with missing values; None for complete records.
    reach
        Number of states before and after a datum that its batch needs.
    fills_grid
        Whether a complete record has values in all cells; otherwise those that do not exist are set to 0.
    """

    record: xr.Dataset
    encode: Encode
    days: Float[Tensor, " state"]
    segment: Int[Tensor, " state"]
    exists: Bool[Tensor, "y x"] | None = None
    reach: tuple[int, int] = (0, 0)
    fills_grid: bool = False
    _reader: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1), init=False, repr=False)
    _current: tuple[tuple[int, ...], Window] | None = field(default=None, init=False, repr=False)
    _next: tuple[tuple[int, ...], Future[Window]] | None = field(default=None, init=False, repr=False)
    _spare: list[Tensor] = field(default_factory=list, init=False, repr=False)
    _cache: OrderedDict[int, Tensor] = field(default_factory=OrderedDict, init=False, repr=False)

    def __reduce__(self) -> tuple[type[Streamed], tuple[Any, ...]]:
        """Pickle the record without the states that were read: another process reads for itself."""
        return Streamed, (
            self.record,
            self.encode,
            self.days,
            self.segment,
            self.exists,
            self.reach,
            self.fills_grid,
        )

    @classmethod
    def undated(cls, record: xr.Dataset, encode: Encode, device: torch.device) -> Streamed:
        """States without dates, such as images: one stretch."""
        days = torch.full((int(record.sizes[state_dimension(record)]),), torch.nan, device=device)
        return cls(record, encode, days, torch.zeros_like(days, dtype=torch.long))

    def __len__(self) -> int:
        return int(self.record.sizes[state_dimension(self.record)])

    @cached_property
    def first(self) -> Float[Tensor, "one variable y x"]:
        """The first state, for the shape and size of a state."""
        return self._read(range(1))

    @cached_property
    def shards(self) -> Sequence[range]:
        """Ranges of states, whose length is a power of two, of at most SHARD_BYTES."""
        size = max(1, SHARD_BYTES // self.first.nbytes)
        length = 2 ** (size.bit_length() - 1)
        return tuple(range(start, min(start + length, len(self))) for start in range(0, len(self), length))

    @property
    def observed(self) -> PresentValues | None:
        return None if self.exists is None else PresentValues(self, self.exists)

    def hold(self, shards: Sequence[int], following: Sequence[int] = ()) -> None:
        now, then = tuple(sorted(shards)), tuple(sorted(following))
        if self._current is None or self._current[0] != now:
            if self._current is not None:
                self._spare.append(self._current[1].values)
                self._current = None
            if self._next is not None and self._next[0] == now:
                self._current = now, self._next[1].result()
            else:
                self._current = now, self._window(now)
            self._next = None
        if then and then != now and (self._next is None or self._next[0] != then):
            self._next = then, self._reader.submit(self._window, then)

    def __getitem__(self, index: Int[Tensor, "*index"] | slice) -> Float[Tensor, "*index variable y x"]:
        states = self.encoded_states(index)
        return states if self.exists is None else torch.nan_to_num(states)

    def encoded_states(self, index: Int[Tensor, "*index"] | slice) -> Float[Tensor, "*index variable y x"]:
        """The states at the given indices, with NaN where a value is missing."""
        device = self.days.device
        numbers = torch.arange(len(self))[index] if isinstance(index, slice) else index.cpu()
        position = torch.tensor(-1) if self._current is None else self._current[1].position[numbers]
        if self._current is not None and bool((position >= 0).all()):
            # a matrix is gathered several times as fast as an array of more dimensions
            states = self._current[1].values.flatten(1).index_select(0, position.flatten())
            return states.view(*numbers.shape, *self.first.shape[1:]).to(device)
        if isinstance(index, slice):
            return self._read(range(*index.indices(len(self)))).to(device)
        states = torch.stack(self._single_states(numbers.flatten().tolist()))
        return states.unflatten(0, numbers.shape).to(device)

    def _window(self, shards: Sequence[int]) -> Window:
        """Read shards, with the states around them that their data need."""
        before, after = self.reach
        ranges = merge_ranges(
            range(
                max(0, self.shards[number].start - before), min(len(self), self.shards[number].stop + after)
            )
            for number in shards
        )
        values = self._memory(sum(map(len, ranges)))
        position = torch.full((len(self),), -1)
        pieces = [
            piece for states in ranges for piece in cut(states, max(1, PIECE_BYTES // self.first.nbytes))
        ]
        starts = [0, *accumulate(map(len, pieces))]

        def fill(start: int, piece: range) -> None:
            self._read(piece, values[start : start + len(piece)])
            position[piece.start : piece.stop] = torch.arange(start, start + len(piece))

        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            list(pool.map(fill, starts[:-1], pieces))  # raises the first error
        return Window(values, position)

    def _memory(self, length: int) -> Float[Tensor, "length variable y x"]:
        """Memory for some states: that of an earlier window if it suffices, because new memory is cleared first."""
        room = self._spare.pop() if self._spare else torch.empty(0, *self.first.shape[1:])
        return room[:length] if len(room) >= length else room.new_empty(length, *room.shape[1:])

    def _single_states(self, states: list[int]) -> list[Float[Tensor, "variable y x"]]:
        """Read single states; the most recent ones are kept in memory."""
        absent = sorted({state for state in states if state not in self._cache})
        states_by_index = {state: self._cache[state] for state in states if state in self._cache}
        for piece in merge_ranges(range(state, state + 1) for state in absent):
            states_by_index |= {state: x.clone() for state, x in zip(piece, self._read(piece), strict=True)}
        for state in states:
            self._cache[state] = states_by_index[state]
            self._cache.move_to_end(state)
        while len(self._cache) * self.first.nbytes > CACHE_BYTES:
            self._cache.popitem(last=False)
        return [states_by_index[state] for state in states]

    def _read(
        self, states: range, out: Float[Tensor, "state variable y x"] | None = None
    ) -> Float[Tensor, "state variable y x"]:
        """Read and encode states, into `out` if it is given; cells that do not exist are 0 in a complete record."""
        span = slice(states.start, states.stop, states.step)
        x = self.encode(self.record.isel({state_dimension(self.record): span}), out)
        return x if self.exists is not None or self.fills_grid else x.nan_to_num_()


@dataclass(frozen=True, eq=False)
class PresentValues:
    """Masks of the present values of streamed states."""

    states: Streamed
    exists: Bool[Tensor, "y x"]

    def __getitem__(self, index: Int[Tensor, "*index"] | slice) -> Bool[Tensor, "*index variable y x"]:
        return self.states.encoded_states(index).isfinite() & self.exists


def merge_ranges(ranges: Iterator[range]) -> list[range]:
    """Join ascending ranges that touch or overlap."""
    joined: list[range] = []
    for following in ranges:
        if joined and following.start <= joined[-1].stop:
            joined[-1] = range(joined[-1].start, max(joined[-1].stop, following.stop))
        else:
            joined.append(following)
    return joined


def cut(states: range, length: int) -> list[range]:
    """Cut a range into pieces of at most this length."""
    return [range(a, min(a + length, states.stop)) for a in range(states.start, states.stop, length)]


@runtime_checkable
class Presence(Protocol):
    """Masks of the present values of states, by index."""

    def __getitem__(self, index: Int[Tensor, "*index"] | slice) -> Bool[Tensor, "*index variable y x"]:
        """True where a value is present, False where it is missing."""
        ...


@runtime_checkable
class States(Protocol):
    """Standardised states x_0 .. x_{n-1}, in order of time if they have dates.

    Training visits them window by window; a window consists of some `shards`, which are ranges of states.
    """

    @property
    def days(self) -> Float[Tensor, " state"]:
        """Fraction of the year of each state; NaN for states without a date."""
        ...

    @property
    def segment(self) -> Int[Tensor, " state"]:
        """Number of the stretch of times without a gap that each state belongs to."""
        ...

    @property
    def observed(self) -> Presence | None:
        """Masks of present values; None for complete states."""
        ...

    @property
    def shards(self) -> Sequence[range]:
        """The ranges of states that are read together, in order of time."""
        ...

    def hold(self, shards: Sequence[int], following: Sequence[int] = ()) -> None:
        """Hold `shards` in memory until the next call, and read the shards `following` of the next window ahead."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Int[Tensor, "*index"] | slice) -> Float[Tensor, "*index variable y x"]:
        """The states at the given indices, on the device of the training; 0 where a value is missing."""
        ...


@dataclass(frozen=True, eq=False)
class InMemory:
    """States in the memory of one device: one shard."""

    values: Float[Tensor, "state variable y x"]
    days: Float[Tensor, " state"]
    segment: Int[Tensor, " state"]
    observed: Bool[Tensor, "state variable y x"] | None = None

    @classmethod
    def undated(cls, values: Float[Tensor, "state variable y x"]) -> InMemory:
        """States without dates, such as images: one stretch."""
        days = torch.full(values.shape[:1], torch.nan, device=values.device)
        return cls(values, days, torch.zeros_like(days, dtype=torch.long))

    @property
    def shards(self) -> Sequence[range]:
        return (range(len(self)),)

    def hold(self, shards: Sequence[int], following: Sequence[int] = ()) -> None:
        """Do nothing: all states are in memory."""

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Int[Tensor, "*index"] | slice) -> Float[Tensor, "*index variable y x"]:
        return self.values[index]
