"""Scores of many experiments in one tidy table, with intervals and paired differences, from stored
statistics."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from fieldcast import calendars
from fieldcast.scores import bootstrap
from fieldcast.scores.metrics import METRICS, Metric, RelativeMetric
from fieldcast.scores.statistics_table import STEP

# Columns and scores of the leaderboard of each task.


@dataclass(frozen=True)
class Layout:
    """A leaderboard: the columns that name a case, and the task whose scores in `METRICS` it holds.

    A task may hold the scores of another one.
    """

    task: str
    by: tuple[str, ...]

    @property
    def metrics(self) -> dict[str, Metric]:
        """The records of the task's scores by name, in the order of the leaderboard."""
        return {name: metric for name, metric in METRICS.items() if self.task in metric.tasks}


RECONSTRUCT = Layout("reconstruct", by=("pattern", "k", "cells"))
FORECAST = Layout("forecast", by=("lead_hours", "region"))
ASSIMILATE = Layout("assimilate", by=("state", "pattern", "k", "cells"))


__all__ = [
    "ASSIMILATE",
    "FORECAST",
    "RECONSTRUCT",
    "empty_leaderboard",
    "leaderboard",
    "sample_leaderboard",
    "skill_horizon",
]

LOG = logging.getLogger(__name__)


def leaderboard(
    scores: Mapping[str, pd.DataFrame],
    data: str,
    scored: str,
    *,
    seed: int = 0,
    layout: Layout = RECONSTRUCT,
    metrics: Mapping[str, Metric] | None = None,
    roles: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """A row for each score: experiment, seed, data_digest, the columns `layout.by`, variable, score, value, low, high.

    `scores` are scores tables with their origin (`with_origin`); an empty one belongs to an experiment that has not
    run. Rows whose digests differ from `data` or `scored` are left out, with a warning that is also in
    attrs["dropped"]. Statistics are averaged over times, scores are functions of these means, and low..high is the
    95 % interval of a block bootstrap of times (NaN where the times are too few for one); the column `step_months` of
    the tables lengthens its blocks. Comparisons are paired: with the experiments of the same seed that have the roles
    of a metric (`RelativeMetric.roles`), over the times that all of these have, with the same resamples.
    `metrics` replace the scores of the layout; `roles` names the experiments that others are compared with
    (`experiments.roles`). Units as in the scores table.
    """
    current, dropped = scores_of_run(scores, data, scored)
    for sentence in dropped:
        LOG.warning(sentence)
    columns = ["experiment", "seed", "data_digest", *layout.by, "variable", "score", "value", "low", "high"]
    metrics = layout.metrics if metrics is None else metrics
    days = bootstrap.block_days(int(current[STEP].max()) if STEP in current else 0)
    wide = {key: by_time(part, layout) for key, part in current.groupby(["experiment", "seed"], sort=False)}
    tables = []
    for (experiment, run_seed), statistics in wide.items():
        paired = [
            paired_statistics(statistics, [wide[other, run_seed] for other in others], score, metric)
            for score, metric in metrics.items()
            if isinstance(metric, RelativeMetric)
            for others in [[roles.get(role) for role in metric.roles]]
            if all((other, run_seed) in wide for other in others)
            and (metric.scored_for_roles or experiment not in others)
        ]
        table = experiment_scores(pd.concat([statistics, *paired]), metrics, seed, days)
        tables.append(table.assign(experiment=experiment, seed=run_seed, data_digest=data)[columns])
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
    table.attrs["dropped"] = dropped
    return table


def made_from(fields: xr.Dataset) -> dict[str, str]:
    """The digest of the data, which all rows of a leaderboard share."""
    return {"data_digest": fields.attrs["digest"]}


def empty_leaderboard(layout: Layout) -> pd.DataFrame:
    """The leaderboard of a task without scores: its columns, without rows."""
    return leaderboard({}, "", "", layout=layout)


def sample_leaderboard(scores: Mapping[str, pd.DataFrame], data: str, scored: str) -> pd.DataFrame:
    """Scores of samples of all experiments: experiment, seed, data_digest, score, value, low, high.

    `scores` are tables of `sample_statistics` with their origin; an empty one belongs to an experiment that has not
    run. Rows whose digests differ from `data` or `scored` are left out as in `leaderboard`.
    """
    current, dropped = scores_of_run(scores, data, scored, "sample sizes, K, or feature extractor")
    for sentence in dropped:
        LOG.warning(sentence)
    columns = ["experiment", "seed", "data_digest", "score", "value", "low", "high"]
    table = current.reindex(columns=columns)
    table.attrs["dropped"] = dropped
    return table


def scores_of_run(
    scores: Mapping[str, pd.DataFrame],
    data: str,
    scored: str,
    selection: str = "times, cases, members or units",
) -> tuple[pd.DataFrame, list[str]]:
    """The rows that were scored on these data and this selection, and a sentence for each experiment with others.

    `selection` names, for the sentence, what else may differ.
    """
    tables, dropped = [], []
    for table in scores.values():
        if table.empty:
            continue
        fits = (table["data_digest"] == data) & (table["case_digest"] == scored)
        tables.append(table[fits])
        if not fits.all():
            share = "" if not fits.any() else f"{(~fits).sum()} rows of "
            other = "other data" if (table["data_digest"] != data).any() else f"other {selection}"
            dropped.append(
                f"Left out of the leaderboard: {share}{table['experiment'].iloc[0]}, scored on {other} than "
                f"this run has; rerun it to include it."
            )
    columns = ["experiment", "seed", "data_digest", "case_digest"]
    return (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)), dropped


def by_time(table: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Table with rows (statistic, columns of `layout.by`, variable) and the times in order as columns."""
    # a fraction that was read from text may differ in its last digit
    rounded = {name: table[name].round(6) for name in layout.by if table[name].dtype.kind == "f"}
    return table.assign(**rounded).pivot(
        index=["statistic", *layout.by, "variable"], columns="time", values="value"
    )


def paired_statistics(
    statistics: pd.DataFrame, others: Sequence[pd.DataFrame], score: str, metric: RelativeMetric
) -> pd.DataFrame:
    """The statistic of an experiment and of those that it is compared with, at the cases and times that all of them
    have; `needed_statistics` gives the new names."""
    (statistic,) = metric.statistics
    tables = [table.loc[[statistic]] for table in (statistics, *others)]
    shared = reduce(pd.Index.intersection, (table.index for table in tables))
    tables = [table.reindex(columns=statistics.columns).loc[shared] for table in tables]
    present = np.logical_and.reduce([table.notna() for table in tables])
    return pd.concat(
        [
            table.where(present).rename(index={statistic: name}, level="statistic")
            for table, name in zip(tables, needed_statistics(score, metric), strict=True)
        ]
    )


def needed_statistics(score: str, metric: Metric) -> tuple[str, ...]:
    """Names of the statistics that a score is a function of; those of a comparison come from `paired_statistics`."""
    if not isinstance(metric, RelativeMetric):
        return metric.statistics
    return tuple(f"{score}: {name}" for name in ("experiment", *metric.roles))


def experiment_scores(
    statistics: pd.DataFrame, metrics: Mapping[str, Metric], seed: int, days: float
) -> pd.DataFrame:
    """Values and intervals of all scores of one experiment: columns of `Layout.by`, variable, score, value,
    low, high; blocks of the bootstrap have at least `days` days.

    A score has rows where all statistics that it needs have them.
    """
    times = calendars.from_iso(statistics.columns.to_numpy())
    weights = bootstrap.mean_and_resamples(len(times), bootstrap.block_length(times, days), seed)
    means = bootstrap.resampled_means(statistics.to_numpy().T, weights)
    position = pd.Series(np.arange(len(statistics)), index=statistics.index)
    tables = []
    for score, metric in metrics.items():
        names = needed_statistics(score, metric)
        if not set(names) <= set(position.index.unique("statistic")):
            continue
        columns = pd.concat([position.xs(name, level="statistic") for name in names], axis=1).dropna()
        values = metric.function(*(means[:, column] for column in columns.to_numpy(dtype=int).T))
        low, high = bootstrap.interval(values[1:])
        cases = columns.index.to_frame(index=False)
        tables.append(cases.assign(score=score, value=values[0], low=low, high=high))
    return pd.concat(tables, ignore_index=True)


def skill_horizon(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """The lead [hours] at which skill crosses zero: experiment, seed, region, variable, lead_hours.

    Interpolated linearly between leads; infinite if skill is positive to the last lead, 0 if it is not positive at
    the first.
    """
    columns = ["experiment", "seed", "region", "variable"]
    skill = leaderboard[(leaderboard["score"] == "skill") & leaderboard["value"].notna()]
    horizons = [
        (*key, crossing(part.sort_values("lead_hours")[["lead_hours", "value"]].to_numpy(dtype=float)))
        for key, part in skill.groupby(columns, sort=False)
    ]
    return pd.DataFrame(horizons, columns=[*columns, "lead_hours"])


def crossing(skill_by_lead: Float[np.ndarray, "lead 2"]) -> float:
    """Lead at which skill, the second column, first falls to zero."""
    lead, value = skill_by_lead.T
    without_skill = np.flatnonzero(value <= 0)
    if not len(without_skill):
        return float("inf")
    after = without_skill[0]
    if after == 0:
        return 0.0
    fraction = value[after - 1] / (value[after - 1] - value[after])  # 0 where the value after is -infinity
    return float(lead[after - 1] + fraction * (lead[after] - lead[after - 1]))
