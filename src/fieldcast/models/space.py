"""The grid of states: its cells, their areas and static fields."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fieldcast.calendars import DAYS_PER_YEAR, TimeStep
from fieldcast.geometry import evenly_spaced_indices


class Space(nn.Module):
    """The grid of fields, or of images; it moves with the model that holds it, and has no state of its own.

    Parameters
    ----------
    variables
        Names of the V variables.
    wraps
        Whether longitude goes round the globe.
    area
        Area of each cell; its mean over the cells that exist is 1.
    exists
        False where there is never a value (land in an SST field).
    points
        Centres of the cells on the unit sphere.
    static
        Fields without time, standardised: orography, latitude ...
    tendency
        Standard deviation of one-step differences, for each variable.
    step
        Hours between two states; 0 where it is unknown, as for images, or irregular.
    months
        Months of the calendar between two states, of which each counts as 730 hours in `step`; 0 for a step in hours.
    same_day
        Whether monthly states keep to a day of the month more closely than to its middle or its end.
    days_per_year
        Days of a year in the calendar of the states (see `calendars.days_per_year`).
    """

    area: Tensor
    exists: Tensor
    points: Tensor
    static: Tensor
    tendency: Tensor

    def __init__(
        self, variables: tuple[str, ...], wraps: bool, area: Float[Tensor, "y x"], exists: Bool[Tensor, "y x"],
        points: Float[Tensor, "y x 3"], static: Float[Tensor, "s y x"], tendency: Float[Tensor, " variable"],
        step: float = 0.0, months: int = 0, same_day: bool = False, days_per_year: int = DAYS_PER_YEAR,
    ):  # fmt: skip
        super().__init__()
        self.variables, self.wraps, self.step = variables, wraps, step
        self.months, self.same_day, self.days_per_year = months, same_day, days_per_year
        fields = {"area": area, "exists": exists, "points": points, "static": static, "tendency": tendency}
        for name, value in fields.items():
            self.register_buffer(name, value, persistent=False)  # checkpoints hold a Space once

    def replace(self, **changes: Any) -> Space:
        """A Space that differs in some of its parameters."""
        names = ("variables", "wraps", "step", "months", "same_day", "days_per_year")
        plain = {name: getattr(self, name) for name in names}
        parameters: dict[str, Any] = plain | dict(self.named_buffers()) | changes
        return Space(**parameters)

    @property
    def step_years(self) -> float:
        """A step as a fraction of the year; a month is a twelfth."""
        return self.months / 12 if self.months else self.step / (self.days_per_year * 24)

    @property
    def size(self) -> Int[Tensor, ""]:
        """Number of values in a state, where cells exist."""
        return len(self.variables) * self.exists.sum()

    @property
    def time_step(self) -> TimeStep:
        """The interval between two states."""
        return TimeStep(self.step, self.months, self.same_day)

    @property
    def existing_area(self) -> Float[Tensor, "y x"]:
        """Area of each cell where it exists, else 0."""
        return self.area * self.exists

    @property
    def weight(self) -> Float[Tensor, "y x"]:
        """Weight of each cell in an area mean: the sum is 1."""
        return self.area * self.exists / self.exists.sum()

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers (Y, X) of cells."""
        return self.area.shape[0], self.area.shape[1]

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """Shape (V, Y, X) of one state."""
        return len(self.variables), *self.shape


# Evenly spaced indices as tensors.


def evenly(length: int, count: int) -> Int[Tensor, " index"]:
    """Evenly spaced indices of a sequence of some length, at most `count` of them."""
    return torch.from_numpy(evenly_spaced_indices(length, count))
