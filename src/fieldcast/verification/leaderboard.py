"""Scores of many experiments in one tidy table, with intervals and paired differences, from stored
statistics."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import bootstrap
from .metrics import METRICS, Metric, unchanged

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """What the leaderboard of a task has: what a row is of, its scores, and whose score others are compared
    with."""

    by: tuple[str, ...]
    scores: tuple[str, ...]
    difference: str  # the score that is a paired difference of a statistic from the reference's ...
    statistic: str  # ... of this statistic


RECONSTRUCT = Layout(
    by=("pattern", "k", "cells"),
    scores=(
        *("rmse", "mae", "bias", "ssim", "crps", "crps_minus_oi"),
        *("ssr", "coverage50", "coverage90", "consistency"),
    ),
    difference="crps_minus_oi",
    statistic="crps",
)


def leaderboard(
    scores: Mapping[str, pd.DataFrame],
    data: str,
    scored: str,
    *,
    reference: str = "optimal_interpolation",
    seed: int = 0,
    layout: Layout = RECONSTRUCT,
) -> pd.DataFrame:
    """One row a score: experiment, seed, data, pattern, k, cells, variable, score, value, low, high.

    `scores` are stamped scores tables; an empty one is an experiment that has not run. Rows of other data
    or of another selection than `data` and `scored` say are left out; that is logged, and stands in
    attrs["dropped"]. Statistics are averaged over times, scores are functions of these means, and low..high
    is the 95 % interval of a block bootstrap of times (NaN where the times are too few for one). The paired
    difference is taken time by time from the reference of the same seed; the reference itself has none.
    Units as in the scores table.
    """
    kept, dropped = current(scores, data, scored)
    for sentence in dropped:
        logger.warning(sentence)
    columns = ["experiment", "seed", "data", *layout.by, "variable", "score", "value", "low", "high"]
    wide = {key: by_time(part, layout) for key, part in kept.groupby(["experiment", "seed"], sort=False)}
    parts = []
    for (experiment, run_seed), own in wide.items():
        other = wide.get((reference, run_seed))
        paired = [] if other is None or experiment == reference else [difference(own, other, layout)]
        part = experiment_scores(pd.concat([own, *paired]), layout, seed)
        parts.append(part.assign(experiment=experiment, seed=run_seed, data=data)[columns])
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    table.attrs["dropped"] = dropped
    return table


def current(scores: Mapping[str, pd.DataFrame], data: str, scored: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows that were scored on these data and this selection, and a sentence on each experiment that
    was not."""
    kept, dropped = [], []
    for table in scores.values():
        if table.empty:
            continue
        fits = (table["data"] == data) & (table["scored"] == scored)
        kept.append(table[fits])
        if not fits.all():
            part = "" if not fits.any() else f"{(~fits).sum()} rows of "
            other = "other data" if (table["data"] != data).any() else "other times, masks, members or units"
            dropped.append(
                f"Left out of the leaderboard: {part}{table['experiment'].iloc[0]}, scored on {other} than "
                f"this run has; run that experiment again to have it back."
            )
    columns = ["experiment", "seed", "data", "scored"]
    return (pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=columns)), dropped


def by_time(table: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Rows (statistic, what a row is of, variable), columns the times in order."""
    # a fraction read from text may differ from itself in its last digit
    rounded = {name: table[name].round(6) for name in layout.by if table[name].dtype.kind == "f"}
    return table.assign(**rounded).pivot(
        index=["statistic", *layout.by, "variable"], columns="time", values="value"
    )


def difference(statistics: pd.DataFrame, reference: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """The layout's statistic minus the reference's, at each time both have, as a statistic of its own."""
    mine, theirs = (
        table[table.index.get_level_values("statistic") == layout.statistic]
        for table in (statistics, reference)
    )
    shared = mine.index.intersection(theirs.index)
    paired = mine.loc[shared] - theirs.loc[shared]
    return paired.rename(index={layout.statistic: layout.difference}, level="statistic")


def experiment_scores(statistics: pd.DataFrame, layout: Layout, seed: int) -> pd.DataFrame:
    """Values and intervals of all scores of one experiment: columns of `layout.by`, variable, score, value,
    low, high.

    A score has rows where every statistic that it needs has.
    """
    times = statistics.columns.to_numpy().astype("datetime64[s]")
    weights = bootstrap.block_weights(len(times), bootstrap.block_length(times), seed)
    values = statistics.to_numpy().T
    # the first row is the mean itself, the others are resampled
    plain = np.full((1, len(times)), 1 / len(times))
    means = bootstrap.resampled_means(values, np.concatenate([plain, weights]))
    place = pd.Series(np.arange(len(statistics)), index=statistics.index)
    parts = []
    for score in layout.scores:
        metric = Metric((layout.difference,), unchanged) if score == layout.difference else METRICS[score]
        if not set(metric.statistics) <= set(place.index.unique("statistic")):
            continue
        needed = pd.concat([place.xs(name, level="statistic") for name in metric.statistics], axis=1).dropna()
        found = metric.of_means(*(means[:, column] for column in needed.to_numpy(dtype=int).T))
        low, high = bootstrap.interval(found[1:])
        part = needed.index.to_frame(index=False)
        parts.append(part.assign(score=score, value=found[0], low=low, high=high))
    return pd.concat(parts, ignore_index=True)
