"""The scores of a leaderboard by experiment and case, whatever the task calls a case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from fieldcast.calendars import lead_label
from fieldcast.figures.style import percent
from fieldcast.scores.bootstrap import Score


class Observed(NamedTuple):
    """A case of `reconstruct`: how the observed cells lie, and which fraction of all cells they are."""

    pattern: str
    k: float

    def __str__(self) -> str:
        """Heading of a column: the pattern is named unless it is random."""
        return percent(self.k) if self.pattern == "random" else f"{self.pattern}, {percent(self.k)}"

    @property
    def phrase(self) -> str:
        """The case beside the name of its task."""
        return f"{self} observed"


class Lead(NamedTuple):
    """A case of `forecast`: the lead time."""

    hours: float

    def __str__(self) -> str:
        """The number and the symbol of its unit."""
        return lead_label(self.hours).replace(" ", "\u00a0")

    @property
    def phrase(self) -> str:
        """The case beside the name of its task."""
        return f"{self} ahead"


class Sampled(NamedTuple):
    """The one case of `sample`: all samples of an experiment."""

    @property
    def phrase(self) -> str:
        """The case beside the name of its task: none."""
        return ""


@dataclass(frozen=True)
class ScoresByCase:
    """Rows of a leaderboard by experiment, case and score; several seeds are averaged.

    Parameters
    ----------
    table
        Rows of one variable (or "all"), of one kind of cells or one region.
    case
        `Observed`, `Lead` or `Sampled`.
    by
        Columns that make a case, in the order of its fields.
    ranking
        The score that experiments are ordered by, the lowest first.
    """

    table: pd.DataFrame
    case: type
    by: tuple[str, ...] = ()
    ranking: str = "crps"

    def __bool__(self) -> bool:
        """Whether anything has been scored."""
        return len(self.table) > 0

    @cached_property
    def scores(self) -> Mapping[tuple[str, Any, str], Score]:
        """Scores by experiment, case and name of the score, without NaN."""
        if not self:
            return {}
        keys = ["experiment", *self.by, "score"]
        means = self.table.groupby(keys, sort=False)[["value", "low", "high"]].mean()
        return {
            (experiment, self.case(*case), score): Score(*numbers)
            for (experiment, *case, score), numbers in zip(
                means.index, means.to_numpy().tolist(), strict=True
            )
            if not math.isnan(numbers[0])
        }

    @cached_property
    def cases(self) -> list[Any]:
        return sorted({case for _, case, _ in self.scores})

    @cached_property
    def order(self) -> list[str]:
        """Experiments by the mean of the ranking score over the cases that all share; those without it come last."""
        values: dict[str, dict[Any, float]] = {}
        for (name, case, score), (value, *_) in self.scores.items():
            if score == self.ranking:
                values.setdefault(name, {})[case] = value
        shared = set.intersection(*(set(scores) for scores in values.values())) if values else set()
        means = {
            name: sum(scores[case] for case in sorted(shared or scores)) / len(shared or scores)
            for name, scores in sorted(values.items())
        }
        names = dict.fromkeys(self.table["experiment"]) if self else {}
        return [*sorted(means, key=means.__getitem__), *(name for name in names if name not in means)]

    def value(self, name: str, score: str, case: Any = None, otherwise: float = math.nan) -> float:
        """A score without its interval."""
        entry = self.scores.get((name, Sampled() if case is None else case, score))
        return otherwise if entry is None else entry.value

    def having(self, *scores: str, cases: Sequence[Any] | None = None) -> list[str]:
        """Experiments with any of these scores in any of these cases (or at all), in order."""
        within = self.cases if cases is None else cases
        return [
            name
            for name in self.order
            if any((name, case, score) in self.scores for case in within for score in scores)
        ]
