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
    """Presence of the values of states, by index."""

    def __getitem__(self, index: Int[Tensor, "*index"] | slice) -> Bool[Tensor, "*index variable y x"]:
        """False where a value that exists is missing."""
        ...


@runtime_checkable
class States(Protocol):
    """Standardised states x_0 .. x_{n-1}, in order of time where they have a time.

    Training visits them window by window; a window is some of the `shards`, which are ranges of states.
    """

    @property
    def days(self) -> Float[Tensor, " state"]:
        """Fraction of the year of each state; NaN where it has no date."""
        ...

    @property
    def segment(self) -> Int[Tensor, " state"]:
        """Number of the unbroken stretch of times that each state belongs to."""
        ...

    @property
    def observed(self) -> Presence | None:
        """Presence of values; None if there are no gaps."""
        ...

    @property
    def shards(self) -> Sequence[range]:
        """The ranges of states that are read together, in order of time."""
        ...

    def hold(self, shards: Sequence[int], following: Sequence[int] = ()) -> None:
        """Hold these shards in memory until the next call, and read ahead those of the following window."""
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
