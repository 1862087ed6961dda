"""What the leaderboard of each task holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fieldcast.scores.metrics import METRICS, Means, Metric, difference, skill


@dataclass(frozen=True)
class Comparison:
    """A score that sets a statistic of an experiment beside a reference's, at the times that both have."""

    statistic: str
    reference: str
    of_means: Callable[[Means, Means], Means]  # of the experiment's mean and of the reference's
    of_itself: bool = False  # whether the reference has a row of it too


@dataclass(frozen=True)
class Layout:
    """What the leaderboard of a task has: what a row is of, its scores, which of them are comparisons, and metrics of
    its own."""

    by: tuple[str, ...]
    scores: tuple[str, ...]
    comparisons: Mapping[str, Comparison]
    own: Mapping[str, Metric] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Metric]:
        """By score; a comparison has two statistics of its own."""
        compared = {name: Metric(pair(name), one.of_means) for name, one in self.comparisons.items()}
        return {**METRICS, **self.own, **compared}


def pair(score: str) -> tuple[str, str]:
    """Names of the two statistics that a comparison needs."""
    return f"{score}: own", f"{score}: reference"


RECONSTRUCT = Layout(
    by=("pattern", "k", "cells"),
    scores=(
        *("rmse", "mae", "bias", "ssim", "crps", "crps_minus_oi"),
        *("ssr", "coverage50", "coverage90", "consistency"),
    ),
    comparisons={"crps_minus_oi": Comparison("crps", "optimal_interpolation", difference)},
)
FORECAST = Layout(
    by=("lead_hours", "region"),
    scores=("rmse", "mae", "acc", "bias", "crps", "crps_minus_lim", "ssr", "energy", "skill"),
    comparisons={
        "crps_minus_lim": Comparison("crps", "linear_inverse_model", difference),
        "skill": Comparison("crps", "climatological_ensemble", skill, of_itself=True),
    },
)
