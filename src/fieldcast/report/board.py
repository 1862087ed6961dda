"""The scores of a leaderboard by experiment and case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import pandas as pd

from fieldcast.figures.style import percent


class Case(NamedTuple):
    """What was observed."""

    pattern: str
    k: float

    def __str__(self) -> str:
        """Of a column of a table; the pattern is named unless it is random."""
        return percent(self.k) if self.pattern == "random" else f"{self.pattern}, {percent(self.k)}"


class Score(NamedTuple):
    """A value and its 95 % interval, which may be NaN."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Of a paired difference of which less is better."""
        if math.isnan(self.low) or math.isnan(self.high):
            return "no interval"
        return "better" if self.high < 0 else "worse" if self.low > 0 else "not separated"


@dataclass(frozen=True)
class Board:
    """The scores of one variable (or "all") on one kind of cells; of several seeds the mean."""

    leaderboard: pd.DataFrame
    cells: str = "unobserved"
    variable: str = "all"

    by: ClassVar[tuple[str, ...]] = ("pattern", "k")  # what a case is
    difference: ClassVar[str] = "crps_minus_oi"
    case: ClassVar[type] = Case

    @property
    def chosen(self) -> pd.DataFrame:
        """Rows of the leaderboard."""
        board = self.leaderboard
        return board[(board["cells"] == self.cells) & (board["variable"] == self.variable)]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """experiment, what a case is, score, value, low, high."""
        by = ["experiment", *self.by, "score"]
        return self.chosen.groupby(by, as_index=False, sort=False)[["value", "low", "high"]].mean()

    @cached_property
    def scores(self) -> Mapping[tuple[str, Any, str], Score]:
        """By experiment, case and name of the score; a score that is NaN is not there."""
        cases = zip(*(self.rows[name].tolist() for name in self.by), strict=True)
        columns = ("experiment", "score", "value", "low", "high")
        listed = zip(*(self.rows[name].tolist() for name in columns), strict=True)
        return {
            (experiment, self.case(*case), score): Score(value, low, high)
            for case, (experiment, score, value, low, high) in zip(cases, listed, strict=True)
            if not math.isnan(value)
        }

    @cached_property
    def order(self) -> list[str]:
        """Experiments by their mean CRPS over the cases that all have; those without any come last."""
        crps = self.rows[self.rows["score"] == "crps"]
        wide = crps.pivot_table(index="experiment", columns=list(self.by), values="value")
        shared = wide.dropna(axis="columns")
        ranked = (shared if shared.shape[1] else wide).mean(axis=1).sort_values(kind="stable")
        return [
            *ranked.index,
            *(name for name in self.rows["experiment"].unique() if name not in ranked.index),
        ]

    def listed(self, cases: Sequence[Any], of: int = 0) -> str:
        """Fractions as "5, 10, 20 %", or "every k" where these are all `of` several."""
        if len(cases) == of and of > 1:
            return "every k"
        if len({case.pattern for case in cases}) > 1 or cases[0].pattern != "random":
            return ", ".join(f"{case.pattern} {100 * case.k:.4g} %" for case in cases)
        return ", ".join(f"{100 * case.k:.4g}" for case in cases) + " %"

    def cases(self, random: bool) -> list[Case]:
        """Those of pattern random, by k; or those of the others."""
        found = {case for _, case, _ in self.scores if (case.pattern == "random") == random}
        return sorted(found)

    def having(self, score: str, cases: Sequence[Any]) -> list[str]:
        """Experiments with this score in any of the cases, in order."""
        return [name for name in self.order if any((name, case, score) in self.scores for case in cases)]
