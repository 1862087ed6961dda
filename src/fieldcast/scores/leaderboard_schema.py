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
        """The experiment that the CRPS of the others is compared with."""
        differences = (metric for metric in self.metrics.values() if metric.function is difference)
        return next(metric.reference for metric in differences if isinstance(metric, Comparison))

    @property
    def summary(self) -> list[str]:
        """The scores that a run prints at its end, in order."""
        listed = [name for name, metric in self.metrics.items() if metric.summary]
        return sorted(listed, key=lambda name: self.metrics[name].summary)


RECONSTRUCT = Layout("reconstruct", by=("pattern", "k", "cells"))
FORECAST = Layout("forecast", by=("lead_hours", "region"))
