"""The scores table that an evaluation stores: one row for the area mean of one statistic at one time; its digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Shaped

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.kinds import CASE, InitialTimes
from fieldcast.lineage import digest
from fieldcast.scores.statistics import POWER

CELLS = ("unobserved", "all")
STEP = "step_months"  # column of the tables of monthly data


def long_table(
    values: Float[np.ndarray, "..."], *axes: Mapping[str, Shaped[np.ndarray, " _"]]
) -> pd.DataFrame:
    """A long table with one row for each value; columns hold the labels of its position along each of the `axes`."""
    indices = np.indices(values.shape)
    columns = {
        name: labels[index.ravel()]
        for axis, index in zip(axes, indices, strict=True)
        for name, labels in axis.items()
    }
    return pd.DataFrame(columns | {"value": values.ravel()})


def with_mapped_values(table: pd.DataFrame, of_parts: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """A table with the rows of another one for the parts of mapped variables, under their names in tables."""
    of_parts = of_parts[of_parts["variable"].isin(names)]
    of_parts = of_parts.assign(variable=of_parts["variable"].map(names))
    return pd.concat([table, of_parts], ignore_index=True)


def tidy(
    values: Float[np.ndarray, "case variable cells statistic time"],
    variables: list[str],
    observations: xr.Dataset,
) -> pd.DataFrame:
    """The table of `reconstruction_statistics`, one row per value.

    The statistic of observed cells is listed under cells "all" only, because no unobserved cell has it.
    """
    table = long_table(
        values,
        {
            "pattern": observations["pattern"].to_numpy().astype(str),
            "k": observations["k"].to_numpy().astype(float).round(6),
        },
        {"variable": np.array(variables)},
        {"cells": np.array(CELLS)},
        {"statistic": np.array(list(POWER))},
        {"mask": observations["mask"].to_numpy(), "time": calendars.iso(observations["time"])},
    )
    columns = ["pattern", "k", "mask", "cells", "variable", "statistic", "time", "value"]
    void = (table["cells"] == "unobserved") & (table["statistic"] == "observed_squared_error")
    return table.loc[~void, columns].reset_index(drop=True)


def with_origin(
    scores: pd.DataFrame, seed: int, data: str, scored: str, step: TimeStep | None = None
) -> pd.DataFrame:
    """Add to every row the seed of the run, and the digests of its data and of the scored selection.

    Where the `step` of the data is one of months, their number is added too: intervals need it, and scored times may be
    further apart than the data.
    """
    origin = origin_of(seed, data, scored, step)
    return scores.assign(**origin)[[*origin, *scores.columns]]


def origin_of(seed: int, data: str, scored: str, step: TimeStep | None = None) -> dict[str, Any]:
    """Columns of a table, or attributes of a data set, that identify the run of a result."""
    months = {STEP: step.months} if step is not None and step.months else {}
    return {"seed": seed, "data_digest": data, "case_digest": scored, **months}


def name_rows(scores: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """Add to every row the experiment that was scored; an empty table stays empty."""
    if scores.empty:
        return scores
    return scores.assign(experiment=experiment)[["experiment", *scores.columns]]


def scored_digest(observations: xr.Dataset, members: int) -> str:
    """Digest, 12 hexadecimal digits, of the scored selection: times, cases, masks, variables with their units, and
    number of members.

    `members` is the number requested of stochastic models in this run, even if the model is deterministic. Only
    statistics with the same digest may share a table.
    """
    cases = [observations[name].to_numpy().tolist() for name in ("pattern", "k", "mask")]
    variables = {str(name): values.attrs.get("units", "") for name, values in observations.data_vars.items()}
    existing = (
        np.packbits(np.isfinite(values.isel({CASE: case}).to_numpy()))
        for values in observations.data_vars.values()
        for case in range(values.sizes[CASE])
    )
    times = calendars.iso(observations["time"]).tolist()
    return digest(cases, times, variables, existing, observations.attrs.get("digest", ""), members)


def scored_initial_times(initial_times: InitialTimes, units: Mapping[str, str], members: int) -> str:
    """Digest of scored forecasts: data, training split, time step, initial times and leads, units of the variables,
    number of members."""
    scored = [initial_times.get(name) for name in ("data", "train", "step_hours", "scored", "leads")]
    return digest(scored, dict(units), members)


def scored_samples(
    data: str, samples: int, likelihood: int, members: int, features: str = "", test: Sequence[str] = ()
) -> str:
    """Digest of scored samples: digest of the data, number of samples, of data whose likelihood is evaluated and of
    draws of IWAE (K), the hash of the features' weights (distances in other features are not comparable), and the
    first and last time of the test split, where the data have times."""
    return digest(data, samples, likelihood, members, features, list(test))


def error_over_time(
    scores: pd.DataFrame, variable: str = "all", cells: str = "unobserved", pattern: str | None = None
) -> pd.DataFrame:
    """Root-mean-square error of the member mean at each time (rows), for each k (columns), or (pattern, k).

    Units of the variable; for "all" anomaly standard deviations. These roots are for figures; do not average
    them.
    """
    selected = scores[
        (scores["variable"] == variable)
        & (scores["cells"] == cells)
        & (scores["statistic"] == "squared_error")
    ]
    if pattern is not None:
        selected = selected[selected["pattern"] == pattern]
    columns = ["k"] if pattern is not None else ["pattern", "k"]
    return np.sqrt(selected.pivot(index="time", columns=columns, values="value"))
