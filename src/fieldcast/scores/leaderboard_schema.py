"""Rows and scores of the leaderboard of each task."""

from __future__ import annotations

from dataclasses import dataclass

from fieldcast.scores.metrics import METRICS, Comparison, Metric, difference


@dataclass(frozen=True)
class Layout:
    """A task's leaderboard: the columns that name a case, and the scores that `METRICS` gives the task."""

    task: str
    by: tuple[str, ...]

    @property
    def metrics(self) -> dict[str, Metric]:
        """The records of the task's scores by name, in the order of the leaderboard."""
        return {name: metric for name, metric in METRICS.items() if self.task in metric.tasks}

    @property
    def reference(self) -> str:
        """The experiment whose CRPS is subtracted from that of the others."""
        return next(metric.reference for metric in self.comparisons if metric.function is difference)

    @property
    def comparisons(self) -> list[Comparison]:
        """The scores that are relative to a reference."""
        return [metric for metric in self.metrics.values() if isinstance(metric, Comparison)]


RECONSTRUCT = Layout("reconstruct", by=("pattern", "k", "cells"))
FORECAST = Layout("forecast", by=("lead_hours", "region"))
