"""Differences of two experiments' scores with 95 % intervals, paired by the times on which both were scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from fieldcast.scores.bootstrap import block_length, interval, mean_and_resamples
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.regions import WHOLE


class Difference(NamedTuple):
    """A score, that of the reference, and their difference with its interval."""

    value: float
    reference: float
    difference: float
    low: float
    high: float

    def text(self, digits: int = 3) -> str:
        """The difference and its interval, with a star if it excludes 0."""
        star = "*" if self.low > 0 or self.high < 0 else ""
        numbers = (f"{number:+.{digits}f}" for number in self[2:])
        return "{} ({}, {})".format(*numbers) + star


def statistics_at(scores: pd.DataFrame, case: Mapping[str, object]) -> pd.DataFrame:
    """The statistics (rows) of all variables in one case, at each time (columns).

    `scores` is the stored table of an experiment; `case` is a lead time `lead_hours`, or a `pattern` with its `k`.
    """
    matching = scores["variable"] == "all"
    for name, value in case.items():
        matching &= np.isclose(scores[name], value) if isinstance(value, float) else scores[name] == value
    if "region" in scores:
        matching &= scores["region"].isin(WHOLE)
    if "cells" in scores:
        matching &= scores["cells"] == "unobserved"
    return scores[matching].pivot(index="statistic", columns="time", values="value")


def value_of(score: str, statistics: pd.DataFrame) -> float:
    """A score of one experiment in one case."""
    metric = METRICS[score]
    return float(metric.function(*statistics.loc[list(metric.statistics)].mean(axis=1)))


def difference(score: str, ours: Sequence[pd.DataFrame], reference: Sequence[pd.DataFrame]) -> Difference:
    """Difference of a score from that of a reference, each given as `statistics_at` of several seeds.

    Statistics are averaged over seeds first, then over times; a score is a function of these means, and the interval
    is that of a block bootstrap of times (`fieldcast.scores.bootstrap`).
    """
    values = []
    times = ours[0].columns.to_numpy().astype("datetime64[s]")
    weights = mean_and_resamples(len(times), block_length(times))
    names = list(METRICS[score].statistics)
    for tables in (ours, reference):
        mean = np.mean([table.loc[names].to_numpy() for table in tables], axis=0)
        values.append(METRICS[score].function(*(weights @ statistic for statistic in mean)))
    gap = values[0] - values[1]
    (low,), (high,) = interval(gap[1:, None])
    return Difference(*map(float, (values[0][0], values[1][0], gap[0], low, high)))
