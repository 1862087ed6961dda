"""Scores at observations that were not used, without any truth: the ensemble predicts the observation itself.

The predicted quantity is H x + eps, with eps the error of the observation; intervals come from resampling
clusters of observations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int

from fieldcast.scores.bootstrap import interval, mean_and_resamples
from fieldcast.scores.metrics import unbiased_spread_skill_ratio
from fieldcast.scores.statistics import coverage, coverage_interval, fair_crps

NOMINAL_COVERAGE = 0.9  # probability of the interval whose coverage is scored
Columns = Mapping[str, Float[np.ndarray, " n"]]


def observation_statistics(predicted: Float[np.ndarray, "member n"], y: Float[np.ndarray, " n"]) -> Columns:
    """Statistics of each observation, whose means give the scores; those that need more members are left out.

    crps, square (the squared error of the mean), variance s^2, debiased = square - s^2 / M for M members, and coverage.
    """
    members = len(predicted)
    columns = {"crps": fair_crps(predicted, y), "square": (predicted.mean(0) - y) ** 2}
    if members > 1:
        columns["variance"] = predicted.var(0, ddof=1)
        columns["debiased"] = columns["square"] - columns["variance"] / members
    if coverage_interval(members, NOMINAL_COVERAGE) is not None:
        columns["coverage"] = coverage((predicted < y).sum(0), members, NOMINAL_COVERAGE)
    return columns


def scores_with_intervals(
    columns: Columns, cluster: Int[np.ndarray, " n"], scale: float, seed: int
) -> Iterator[tuple[str, float, float, float]]:
    """Score, value and 95 % interval; CRPS and RMSE are multiplied by `scale`, the standard deviation in their unit."""
    label, index = np.unique(cluster, return_inverse=True)
    count = np.bincount(index).astype(float)
    sums = {name: np.bincount(index, column) for name, column in columns.items()}
    resamples = mean_and_resamples(len(label), 1, seed)
    means = {name: resamples @ total / (resamples @ count) for name, total in sums.items()}
    values = {"crps": scale * means["crps"], "rmse": scale * np.sqrt(means["square"])}
    if "variance" in means:
        values["ssr"] = unbiased_spread_skill_ratio(means["variance"], means["debiased"])
    if "coverage" in means:
        values["coverage90"] = means["coverage"]
    for name, value in values.items():
        low, high = (float(end[0]) for end in interval(value[1:, None]))
        yield name, float(value[0]), low, high
