"""Columns and scores of the leaderboard of each task."""

from __future__ import annotations

from dataclasses import dataclass

from fieldcast.scores.metrics import METRICS, Metric


@dataclass(frozen=True)
class Layout:
    """A task's leaderboard: the columns that name a case, and the scores that `METRICS` gives the task."""

    task: str
    by: tuple[str, ...]

    @property
    def metrics(self) -> dict[str, Metric]:
        """The records of the task's scores by name, in the order of the leaderboard."""
        return {name: metric for name, metric in METRICS.items() if self.task in metric.tasks}


RECONSTRUCT = Layout("reconstruct", by=("pattern", "k", "cells"))
FORECAST = Layout("forecast", by=("lead_hours", "region"))
ASSIMILATE = Layout("assimilate", by=("state", "pattern", "k", "cells"))
