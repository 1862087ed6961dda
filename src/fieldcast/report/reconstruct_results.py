"""Results of the task `reconstruct`, by experiment, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import xarray as xr

from fieldcast.report import results
from fieldcast.report.board import Board
from fieldcast.scores.leaderboard_schema import RECONSTRUCT


@dataclass(frozen=True, kw_only=True)
class Results(results.Results):
    """Those of every task, the observations, and the experiment that others are compared with."""

    observations: xr.Dataset | None = None
    reference: ClassVar[str] = RECONSTRUCT.reference

    @cached_property
    def board(self) -> Board | None:
        """On unobserved cells."""
        return Board(self.leaderboard) if len(self.leaderboard) else None

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
