"""The states of a split for training, indexed in order of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class States(Protocol):
    """Standardised states x_0 .. x_{n-1}, in order of time where they have a time."""

    @property
    def days(self) -> Float[Tensor, " state"]:
        """Fraction of the year of each state; NaN where it has no date."""
        ...

    @property
    def segment(self) -> Int[Tensor, " state"]:
        """Number of the unbroken stretch of times that each state belongs to."""
        ...

    @property
    def observed(self) -> Bool[Tensor, "state variable y x"] | None:
        """False where a value that exists is missing; None if there are no gaps."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Int[Tensor, "*index"] | slice) -> Float[Tensor, "*index variable y x"]:
        """The states at the given indices, on the device of the training; 0 where a value is missing."""
        ...


@dataclass(frozen=True, eq=False)
class InMemory:
    """States in the memory of one device."""

    values: Float[Tensor, "state variable y x"]
    days: Float[Tensor, " state"]
    segment: Int[Tensor, " state"]
    observed: Bool[Tensor, "state variable y x"] | None = None

    @classmethod
    def undated(cls, values: Float[Tensor, "state variable y x"]) -> InMemory:
        """States without dates, such as images: one stretch."""
        days = torch.full(values.shape[:1], torch.nan, device=values.device)
        return cls(values, days, torch.zeros_like(days, dtype=torch.long))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Int[Tensor, "*index"] | slice) -> Float[Tensor, "*index variable y x"]:
        return self.values[index]
