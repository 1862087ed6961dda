"""A filter that is calibrated for several observing networks: a copy for each fraction k of observed cells.

Background errors grow as fewer cells are observed, and are correlated over greater distances, so that a covariance, its
taper and the localisation of an ensemble that suit one observing network are wrong for a much sparser one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fieldcast.errors import InputError
from fieldcast.models.assimilation.filter import CycleState, CycleStep, Filter, Members, Memory, Step
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

COPY = "copy"  # name, in the memory of a cycle, of the number of the copy that it uses


class ByFraction(Filter):
    """Copies of a filter; each step of a cycle uses the one whose fraction is nearest in its logarithm.

    The background of a step comes from the copy of the step before.

    Parameters
    ----------
    space
        Grid of the states.
    filter
        The filter to copy.
    fractions
        Fraction k of each copy, ascending.
    """

    def __init__(self, space: Space, filter: Filter, fractions: list[float]):
        super().__init__(space)
        if not fractions or sorted({*fractions, 0.0, 1.0}) != [0.0, *fractions, 1.0]:
            raise InputError(
                f"model.fractions = {fractions} should ascend between 0 and 1, as in [0.01, 0.05]."
            )
        self.fractions = tuple(fractions)
        self.copies = nn.ModuleList(deepcopy(filter) for _ in fractions)
        self.needs_forecast, self.learns_errors = filter.needs_forecast, filter.learns_errors
        self.ensemble_size, self.needs_spread = filter.ensemble_size, filter.needs_spread
        self.needs_finite, self.deterministic = filter.needs_finite, filter.deterministic
        self.accepts_points = filter.accepts_points

    def calibrated_at(self, k: float) -> Mapping[float, Filter]:
        return dict(zip(self.fractions, self._filters(), strict=True))

    def begin(self, count: int) -> dict[str, Tensor]:
        """The memory of the copy for the densest observing network."""
        start = self._filters()[-1].begin(count)
        last = torch.full((count,), len(self.copies) - 1, device=self.space.area.device)
        return {**start, COPY: last}

    def background(
        self, state: CycleState, day: Float[Tensor, " batch"], forecast: Step, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        def of(filter: Filter, i: Tensor) -> tuple[Members, Memory]:
            memory = {name: value[i] for name, value in state.memory.items()}
            return filter.background(CycleState(state.past[i], memory), day[i], forecast, streams.of_data(i))

        return self._together(state.memory[COPY], of)

    def update(
        self, background: Members, c: Context, memory: Memory, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        def of(filter: Filter, i: Tensor) -> tuple[Members, Memory]:
            before = {name: value[i] for name, value in memory.items()}
            return filter.update(background[i], c[i], before, streams.of_data(i))

        observed = self.fraction(c) > 0
        return self._together(torch.where(observed, self.nearest(c), memory[COPY]), of)

    def background_mean(self, step: CycleStep) -> Float[Tensor, "batch variable y x"]:
        return self._filters()[0].background_mean(step)

    def nearest(self, c: Context) -> Int[Tensor, " batch"]:
        """Number of the copy for each context."""
        k = self.fraction(c).clamp(min=1e-6)
        return (k.log()[:, None] - k.new_tensor(self.fractions).log()).abs().argmin(1)

    def fraction(self, c: Context) -> Float[Tensor, " batch"]:
        """k of each context, in which a point counts as a cell."""
        k = c.fraction(self.space)
        if c.points is None:
            return k
        points = torch.bincount(c.points.datum, minlength=c.count).to(k)
        return k + points / (len(self.space.variables) * self.space.exists.sum())

    def _filters(self) -> list[Filter]:
        return [copy for copy in self.copies if isinstance(copy, Filter)]

    def _together(
        self, copy: Int[Tensor, " batch"], results_of: Callable[[Filter, Tensor], tuple[Members, Memory]]
    ) -> tuple[Members, Memory]:
        """The results of each copy for the cycles that use it, in the order of the cycles."""
        cycles = [(copy == number).nonzero()[:, 0] for number in range(len(self.copies))]
        pairs = zip(self._filters(), cycles, strict=True)
        members, memories = zip(*(results_of(filter, i) for filter, i in pairs if len(i)), strict=True)
        order = torch.cat(cycles).argsort()
        memory = {name: torch.cat([memory[name] for memory in memories])[order] for name in memories[0]}
        return torch.cat(members)[order], {**memory, COPY: copy}
