"""Results of the task `reconstruct`, by experiment, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
import xarray as xr

from ..plots.style import Look, looks
from .scores import Board


@dataclass(frozen=True, kw_only=True)
class Results:
    """Results by experiment (its name without the task). Each may be empty or lack experiments.

    `leaderboard` is that of `leaderboard()`, `scores` are stamped scores tables, `diagnostics` and `examples`
    what the evaluation stored, `history` what training stored (with a column `loss`, or of tuning: without),
    `costs` frames of one row. `experiments` are all there could be; those without scores are listed as not
    run.
    """

    leaderboard: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    diagnostics: Mapping[str, xr.Dataset] = field(default_factory=dict)
    examples: Mapping[str, xr.Dataset] = field(default_factory=dict)
    history: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    costs: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    observations: xr.Dataset | None = None
    experiments: Sequence[str] = ()
    reference: str = "optimal_interpolation"

    def __post_init__(self) -> None:
        """What is None or empty is as good as not there."""
        for name in ("scores", "diagnostics", "examples", "history", "costs"):
            given = getattr(self, name)
            kept = {key: found for key, found in given.items() if found is not None and len(found)}
            object.__setattr__(self, name, kept)

    @cached_property
    def order(self) -> list[str]:
        """All experiments that left something: by their CRPS, then those without a score."""
        ranked = Board(self.leaderboard).order if len(self.leaderboard) else []
        stored = (self.scores, self.diagnostics, self.examples, self.history, self.costs)
        others = {name for one in stored for name in one}
        return [*ranked, *sorted(others - set(ranked))]

    @cached_property
    def not_run(self) -> list[str]:
        """Experiments that the leaderboard lacks."""
        there = set(self.leaderboard["experiment"]) if len(self.leaderboard) else set()
        return [name for name in self.experiments if name not in there]

    @cached_property
    def looks(self) -> dict[str, Look]:
        """One look an experiment; the same whether or not all have run."""
        return looks(dict.fromkeys([*self.order, *self.experiments]))

    @cached_property
    def main_pattern(self) -> str:
        """Random where it was scored, else the first there is."""
        patterns = list(self.leaderboard["pattern"].unique()) if len(self.leaderboard) else []
        for found in (*self.diagnostics.values(), *self.examples.values()):
            patterns += found["pattern"].to_numpy().astype(str).tolist()
        return "random" if "random" in patterns or not patterns else str(patterns[0])

    @cached_property
    def units(self) -> dict[str, str]:
        """Of each variable, from whatever holds fields."""
        sources = [*self.examples.values(), *([] if self.observations is None else [self.observations])]
        return {
            str(key): str(values.attrs.get("units", "")) for one in sources for key, values in one.items()
        }
