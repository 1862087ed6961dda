"""Records cell by cell in time: the observed neighbours of each value, and linear interpolation between them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.gaps.record import Record


def neighbours_in_time(
    observed: Bool[Tensor, "time cell"],
) -> tuple[Int[Tensor, "time cell"], Int[Tensor, "time cell"]]:
    """Index of the last observed time at or before each value, -1 without; of the first at or after, T without."""
    times = len(observed)
    index = torch.arange(times, device=observed.device)[:, None]
    before = torch.where(observed, index, -1).cummax(0).values
    after = torch.where(observed, index, times).flip(0).cummin(0).values.flip(0)
    return before, after


def linear_in_time(record: Record, hours: Float[Tensor, " time"]) -> Float[Tensor, "time cell"]:
    """Interpolation between the observed times of each cell, constant beyond them; 0 in cells never observed."""
    before, after = neighbours_in_time(record.observed)
    last = len(record.x) - 1
    x = torch.where(record.observed, record.x, 0.0)
    i = torch.where(before < 0, after.clamp(max=last), before)
    j = torch.where(after > last, before.clamp(min=0), after)
    apart = hours[j] - hours[i]
    share = torch.where(apart > 0, (hours[:, None] - hours[i]) / torch.where(apart > 0, apart, 1.0), 0.0).to(
        x
    )
    return (1 - share) * x.gather(0, i) + share * x.gather(0, j)
