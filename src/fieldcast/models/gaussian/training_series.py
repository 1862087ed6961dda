"""Reassembly of training windows: each state once, in order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.core import Batch
from fieldcast.models.gaussian.retained import Retained, rounded


class Series(NamedTuple):
    """States in order of time; within a stretch, successive states are one step apart."""

    states: Float[Tensor, "time variable y x"]
    # NaN for states that are never a target: before the first window of a stretch
    days: Float[Tensor, " time"]
    stretch: Int[Tensor, " time"]

    def followed(self, steps: int = 1) -> Bool[Tensor, " time"]:
        """True where the state `steps` later belongs to the same stretch."""
        return followed(self.stretch, steps)


def followed(stretch: Int[Tensor, " time"], steps: int = 1) -> Bool[Tensor, " time"]:
    """True where the time `steps` later belongs to the same stretch."""
    later = torch.full_like(stretch, -1)
    later[: max(len(later) - steps, 0)] = stretch[steps:]
    return stretch == later


def series(training: Iterable[Batch], exists: Bool[Tensor, "y x"]) -> Series:
    """Reassemble the states from windows in order of time; cells that do not exist are 0."""
    parts = series_parts(training)
    states, days, stretch, number = (torch.cat(part) for part in zip(*parts, strict=True))
    order = torch.argsort(number)
    return Series(torch.where(exists, states[order], 0.0), days[order].float(), stretch[order])


def kept_series(training: Iterable[Batch], exists: Bool[Tensor, "y x"], stretch: int = 1) -> Series:
    """The states of a series that a model keeps (see `retained`), in half precision; a gap ends a stretch."""
    kept = Retained(stretch)
    for part in series_parts(training):
        kept.add(part.number, part.states, part.days, part.stretch)
    number, states, days, stretches = kept.result()
    ends = (number.diff() != 1) | (stretches.diff() != 0)
    return Series(
        rounded(torch.where(exists, states, 0.0)),
        days.float(),
        torch.cat([ends.new_zeros(1), ends]).cumsum(0),
    )


class SeriesPart(NamedTuple):
    """Some states of a series, with their numbers in order of time."""

    states: Float[Tensor, "time variable y x"]
    days: Float[Tensor, " time"]
    stretch: Int[Tensor, " time"]
    number: Int[Tensor, " time"]


def series_parts(training: Iterable[Batch]) -> Iterator[SeriesPart]:
    """Yield each state of the windows once.

    A window whose `index` does not follow the previous one begins a stretch, and contributes its past.

    Raises
    ------
    ValueError
        For windows without an index.
    """
    previous, stretches = torch.tensor([-2]), torch.tensor(0)
    for batch in training:
        if batch.index is None:
            raise ValueError("windows without an index have no order")
        index, past, day = batch.index, batch.context.past, batch.context.day
        begins = index.diff(prepend=previous.to(index)) != 1
        stretch = begins.cumsum(0) + stretches.to(index)
        previous, stretches = index[-1:], stretch[-1]
        if day is None:
            day = torch.full_like(batch.x[:, 0, 0, 0], torch.nan)
        yield SeriesPart(batch.x, day, stretch, index)
        if past is not None and begins.any():
            length = past.shape[1]
            numbers = index[begins][:, None] + torch.arange(-length, 0, device=index.device)
            unknown = past.new_full((numbers.numel(),), torch.nan)
            before = past[begins].flatten(0, 1)
            yield SeriesPart(before, unknown, stretch[begins].repeat_interleave(length), numbers.flatten())
