"""Legends of scores: titles and explanations for tables, figures, report and guide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"] | float | None


@dataclass(frozen=True, kw_only=True)
class ScoreInfo:
    """Title, explanation and direction of a score.

    Parameters
    ----------
    title
        Name in tables and figures.
    explanation
        Definition and interpretation in one or two sentences, which follow the title and a colon.
    better
        "lower", "higher", or the ideal value; None where values do not rank experiments.
    summary
        Position among the scores that a run prints at its end, from 1; 0 leaves the score out.
    """

    title: str
    explanation: str
    better: Better = "lower"
    summary: int = 0

    @property
    def direction(self) -> str:
        """ "lower is better", "higher is better" or "1 is best"; empty where values do not rank experiments."""
        if self.better is None:
            return ""
        return f"{self.better} is better" if isinstance(self.better, str) else f"{self.better:g} is best"

    def best(self, values: Iterable[float]) -> float:
        """Best of these values; NaN where values do not rank experiments."""
        if self.better is None:
            return float("nan")
        if isinstance(self.better, str):
            return min(values) if self.better == "lower" else max(values)
        ideal = self.better
        return min(values, key=lambda value: abs(value - ideal))


def in_summary(scores: Mapping[str, ScoreInfo]) -> list[str]:
    """Names of the scores that a run prints at its end, in order."""
    return sorted((name for name in scores if scores[name].summary), key=lambda name: scores[name].summary)
