"""The context c of a model p(x | c): observations, past states, the day."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.points import Points
from fieldcast.models.space import Space

ExtraChannel = Literal["mask", "season", "static"]  # input channels of a network besides states


@dataclass(frozen=True, eq=False)
class Context:
    """The context c of p(x | c); absent parts are None.

    Parameters
    ----------
    count
        Number of data B.
    past
        The last states, oldest first.
    observed
        The sparse field m * y.
    mask
        The mask m of the observations.
    day
        The day of the target state, as a fraction of the year.
    noise
        Standard deviation of the error of the observations in cells.
    points
        Observations between cells, which only models with `accepts_points` use.
    """

    count: int
    past: Float[Tensor, "batch past variable y x"] | None = None
    observed: Float[Tensor, "batch variable y x"] | None = None
    mask: Bool[Tensor, "batch variable y x"] | None = None
    day: Float[Tensor, " batch"] | None = None
    noise: float = 0.0
    points: Points | None = None

    def base(self) -> Float[Tensor, "batch variable y x"]:
        """The state from which a stepped model starts: the last state, else the sparse field.

        Raises
        ------
        InputError
            For a context without past or observations.
        """
        base = self.past[:, -1] if self.past is not None else self.observed
        if base is None:
            raise InputError(
                "the model steps from observations or past states, and the task has neither: use it in an experiment "
                "of the task reconstruct or forecast."
            )
        return base

    def observations(self) -> tuple[Float[Tensor, "batch variable y x"], Bool[Tensor, "batch variable y x"]]:
        """The sparse field m * y and its mask m.

        Raises
        ------
        InputError
            If the context has no observations.
        """
        if self.observed is None or self.mask is None:
            raise InputError(
                "the model reads observations, and the task has none: use it in an experiment of the task reconstruct."
            )
        return self.observed, self.mask

    def states(self) -> Float[Tensor, "batch past variable y x"]:
        """Past states, oldest first.

        Raises
        ------
        InputError
            If the context has no past.
        """
        if self.past is None:
            raise InputError(
                "the model reads past states, and the task has none: use it in an experiment of the task forecast."
            )
        return self.past

    def fraction(self, space: Space) -> Float[Tensor, " batch"]:
        """k: the observed share of the cells that exist.

        Raises
        ------
        InputError
            For a context without observations.
        """
        if self.mask is None:
            raise InputError(
                "the model reads the observed fraction, and the task has no observations: use it in an experiment of "
                "the task reconstruct."
            )
        return self.mask.float().sum(dim=(1, 2, 3)) / (self.mask.shape[1] * space.exists.sum())

    def channels(
        self, space: Space, extra_channels: Collection[ExtraChannel] = ("mask", "season", "static")
    ) -> Float[Tensor, "batch channel y x"]:
        """Input channels of a network: past and observed states, and `extra_channels`."""
        channels = []
        if self.past is not None:
            channels.append(self.past.flatten(1, 2))
        if self.observed is not None:
            channels.append(self.observed)
        if self.mask is not None and "mask" in extra_channels:
            channels.append(self.mask.float())
        if self.day is not None and "season" in extra_channels:
            angle = 2 * math.pi * self.day
            season = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
            channels.append(season[:, :, None, None].expand(-1, -1, *space.shape))
        if "static" in extra_channels:
            channels.append(space.static.expand(self.count, -1, -1, -1))
        return torch.cat(channels, dim=1)

    def at(self, x: Float[Tensor, "batch variable y x"]) -> Context:
        """Replace the base of the context by x: a stage of a Runge-Kutta step."""
        if self.past is not None:
            return replace(self, past=torch.cat([self.past[:, :-1], x[:, None]], dim=1))
        return replace(self, observed=x)

    def advance(self, x: Float[Tensor, "batch variable y x"], dt: float) -> Context:
        """The context of the next step: the past shifted by x, the day moved by dt (fraction of a year)."""
        past = None if self.past is None else torch.cat([self.past[:, 1:], x[:, None]], dim=1)
        return replace(self, past=past, day=None if self.day is None else (self.day + dt) % 1)

    def repeat(self, members: int) -> Context:
        """Repeat B rows to B * M rows, the members of a datum next to each other; networks get no points."""
        if members == 1:
            return self
        fields = {name: getattr(self, name) for name in ("past", "observed", "mask", "day")}
        repeated = {k: None if v is None else v.repeat_interleave(members, dim=0) for k, v in fields.items()}
        return Context(self.count * members, **repeated, noise=self.noise)

    def __getitem__(self, index: Int[Tensor, " selected"] | slice) -> Context:
        """Select the context of some of the data, each at most once if there are points."""
        fields = {name: getattr(self, name) for name in ("past", "observed", "mask", "day")}
        selected = {k: None if v is None else v[index] for k, v in fields.items()}
        data = torch.arange(self.count)[index if isinstance(index, slice) else index.cpu()]
        points = None if self.points is None else self.points.of(data)
        return Context(len(data), **selected, noise=self.noise, points=points)


def channel_count(
    space: Space, history: int = 0, observed: bool = False,
    extra_channels: Collection[ExtraChannel] = ("mask", "season", "static"),
) -> int:  # fmt: skip
    """Number of `Context.channels` of a context with a day, `history` past states and, if `observed`, observations."""
    states = history + observed + (observed and "mask" in extra_channels)
    season = 2 * ("season" in extra_channels)
    return states * len(space.variables) + season + len(space.static) * ("static" in extra_channels)
