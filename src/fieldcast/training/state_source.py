"""The states of a split for training, indexed in order of time: in memory, or streamed (`training.streamed`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
