"""Results of a task, by experiment, and what follows from them whatever the task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import pandas as pd
import xarray as xr

from fieldcast.figures.style import Look, looks


@runtime_checkable
class Ranked(Protocol):
    """What orders experiments."""

    @property
    def order(self) -> list[str]:
        """The best first."""
        ...


@dataclass(frozen=True, kw_only=True)
class Results(ABC):
    """Results by experiment (its name without the task). Each may be empty or lack experiments.

    `leaderboard` is that of `leaderboard()`, `scores` are stamped scores tables, `diagnostics` and `examples`
    what the evaluation stored, `history` what training stored (see `scores.training_log`),
    `costs` frames of one row. `experiments` are all there could be; those without scores are listed as not
    run.
    """

    leaderboard: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    diagnostics: Mapping[str, xr.Dataset] = field(default_factory=dict)
    examples: Mapping[str, xr.Dataset] = field(default_factory=dict)
    history: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    costs: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    experiments: Sequence[str] = ()

    parts: ClassVar[tuple[str, ...]] = ("scores", "diagnostics", "examples", "history", "costs")

    def __post_init__(self) -> None:
        """What is None or empty is as good as not there."""
        for name in self.parts:
            given = getattr(self, name)
            kept = {key: found for key, found in given.items() if found is not None and len(found)}
            object.__setattr__(self, name, kept)

    @property
    @abstractmethod
    def board(self) -> Ranked | None:
        """Scores of the experiments; None where there are none."""

    @cached_property
    def order(self) -> list[str]:
        """All experiments that left something: the best first, then those without a score."""
        ranked = self.board.order if self.board else []
        others = {name for part in self.parts for name in getattr(self, part)}
        return [*ranked, *sorted(others - set(ranked))]

    def ordered(self, part: str) -> dict[str, Any]:
        """One part of the results in the order of the experiments."""
        found = getattr(self, part)
        return {name: found[name] for name in self.order if name in found}

    @cached_property
    def not_run(self) -> list[str]:
        """Experiments that the leaderboard lacks."""
        there = set(self.leaderboard["experiment"]) if len(self.leaderboard) else set()
        return [name for name in self.experiments if name not in there]

    @cached_property
    def looks(self) -> dict[str, Look]:
        """One look an experiment; the same whether or not all have run."""
        return looks(dict.fromkeys([*self.order, *self.experiments]))
