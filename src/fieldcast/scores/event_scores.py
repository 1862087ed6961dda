"""Scores of events of all experiments in one table, with intervals by the block bootstrap of the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from fieldcast import calendars
from fieldcast.events import probability
from fieldcast.scores import bootstrap
from fieldcast.scores.event_metrics import EVENT_METRICS, Contingency
from fieldcast.scores.leaderboard_schema import Layout
from fieldcast.scores.statistics import with_overall
from fieldcast.scores.statistics_table import STEP, long_table

ORIGIN = ("seed", "data")  # attributes that identify the run


def event_scores(
    events: Mapping[str, xr.Dataset], data: str, scored: str, layout: Layout, seed: int = 0
) -> pd.DataFrame:
    """One row for each experiment, case, kind of cells, variable, event and score: value, low, high.

    `events` are the data sets of `EventTables` with the attributes of `with_origin`; those that differ from `data` or
    `scored` are left out, as in the leaderboard. The event is named by its `quantile`. Variable "all" is the mean
    table over variables, and the mean threshold-weighted CRPS in anomaly standard deviations. Intervals are those of
    `leaderboard`, from the same resamples, and only for the first kind of cells: the whole grid, or unobserved cells.
    """
    tables = [
        scores_of_experiment(stored, seed).assign(experiment=experiment)
        for experiment, stored in events.items()
        if stored.attrs["data"] == data and stored.attrs["scored"] == scored
    ]
    if not tables:
        names = *layout.by[:-1], "variable", layout.by[-1]  # the last is the kind of cells
        return pd.DataFrame(
            columns=["experiment", *ORIGIN, *names, "quantile", "score", "value", "low", "high"]
        )
    table = pd.concat(tables, ignore_index=True)
    return table[["experiment", *table.columns.drop("experiment")]]


def scores_of_experiment(stored: xr.Dataset, seed: int) -> pd.DataFrame:
    """Scores of one experiment, case by case: one case is in memory with all of its resamples."""
    times = calendars.from_iso(stored["time"].to_numpy().astype(str))
    days = bootstrap.block_days(int(stored.attrs.get(STEP, 0)))
    weights = bootstrap.mean_and_resamples(len(times), bootstrap.block_length(times, days), seed)
    case = str(stored["shares"].dims[0])
    labels = {
        str(name): values.to_numpy() for name, values in stored.coords.items() if values.dims == (case,)
    }
    kind = str(stored["shares"].dims[2])
    # resamples take time, so only the first kind of cells has them
    resamples_of_kinds = ((slice(0, 1), weights), (slice(1, None), weights[:1]))
    tables = [
        scores_of_case(stored.isel({case: number, kind: kinds}), resamples).assign(
            **{name: values[number] for name, values in labels.items()}
        )
        for number in range(stored.sizes[case])
        for kinds, resamples in resamples_of_kinds
        if stored.isel({kind: kinds}).sizes[kind]
    ]
    table = pd.concat(tables, ignore_index=True).assign(**{name: stored.attrs[name] for name in ORIGIN})
    names = [*ORIGIN, *labels]
    return table[[*names, *table.columns.drop(names)]]


def scores_of_case(stored: xr.Dataset, weights: Float[np.ndarray, "resample time"]) -> pd.DataFrame:
    """Scores of one case: its kinds of cells, variables and events."""
    deviation = stored["deviation"].to_numpy()
    shares, tails = (
        np.moveaxis(with_overall(stored[name].to_numpy(), deviation, power, axis=0), -1, 0)
        for name, power in (("shares", 0), ("tail_crps", 1))
    )
    means = bootstrap.resampled_means(shares, weights).astype(np.float32)
    quantiles = stored["quantile"].to_numpy()
    table = Contingency(means, np.array([probability(quantile) for quantile in quantiles], np.float32))
    values = np.stack(
        [
            metric.function(table) if metric.function else bootstrap.resampled_means(tails, weights)
            for metric in EVENT_METRICS.values()
        ],
        axis=-1,
    ).astype(np.float32)  # (resample, variable, kind, quantile, score)
    kind = str(stored["shares"].dims[1])
    axes = {
        "variable": np.array([*stored["variable"].to_numpy().astype(str), "all"]),
        kind: stored[kind].to_numpy().astype(str),
        "quantile": quantiles,
        "score": np.array(list(EVENT_METRICS)),
    }
    low, high = bootstrap.interval(values[1:])
    records = long_table(values[0], *({name: labels} for name, labels in axes.items()))
    ends = {"low": low, "high": high}
    return records.assign(**{name: end.ravel().astype(np.float32) for name, end in ends.items()})
