"""Scores at stations that are left out: how good a filled field is between the observations, without any truth.

Stations are grouped into clusters, and whole clusters are left out in ten folds, because the neighbour of a left-out
station would reveal its value. The scored quantity is the predicted observation H x + eps, with instrument and
representativeness errors; 95 % intervals come from resampling the clusters.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from fieldcast.encoding.stations import points_of
from fieldcast.errors import InputError, counted
from fieldcast.fields.stations import read_stations, station_columns
from fieldcast.geometry import unit_points
from fieldcast.inference.reconstruct import context_of, draw
from fieldcast.inference.stations.observations import (
    Representativeness,
    check_accepts_points,
    error_variance,
    rejection_messages,
)
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.models.capabilities import ChecksPoints
from fieldcast.models.core import Context
from fieldcast.models.points import Points
from fieldcast.models.random_streams import LEFT_OUT_ERRORS_STEP, RandomStreams
from fieldcast.runtime import Progress
from fieldcast.scores.numbers import significant
from fieldcast.scores.observations import Columns, observation_statistics, scores_with_intervals

LOG = logging.getLogger(__name__)
FOLDS = 10  # groups of clusters, of which one is left out at a time
CLUSTERS = 40  # largest number of clusters
MIN_STATIONS = 20  # smallest number of stations from which some are left out
COLUMN_WIDTH = 26  # characters of a column in the text
LISTED_BIASES = 3  # stations with large biases that the text names
NO_UNIT = "1"  # unit of readings in a table without units
TITLES = {"crps": "CRPS", "rmse": "RMSE", "ssr": "spread-skill", "coverage90": "coverage of 90 %"}


def scores_at_left_out(
    models: Mapping[str, TrainedModel], stations: pd.DataFrame | str, members: int, seed: int,
    where: str = "the table of stations", stated: Representativeness = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Scores of each model, by experiment and variable: CRPS, RMSE, spread-skill ratio, coverage of 90 %; by station.

    The second table has a row for each experiment and station (`by_station`).

    Parameters
    ----------
    models
        Models of `reconstruct` that accept points, by name.
    stations
        A table as `fields.stations` describes it.
    members
        Number of draws; with 19 the coverage is exact.
    seed
        Seed of draws, clusters and resamples.
    where
        Name of the table in messages.
    stated
        Representativeness error in the units of the variables; by default it is estimated.
    """
    table = without_gross_errors(read_stations(stations, where), models, where, stated)
    cluster = clusters(table, seed, where)
    tables = [
        pair
        for name, model in models.items()
        for pair in model_scores(name, model, table, cluster, members, seed, where, stated)
    ]
    rows = [row for scores, _ in tables for row in scores]
    return pd.DataFrame(rows), pd.concat([stations for _, stations in tables], ignore_index=True)


def without_gross_errors(
    table: pd.DataFrame, models: Mapping[str, TrainedModel], where: str, stated: Representativeness
) -> pd.DataFrame:
    """The observations that the first model which checks them accepts; the log lists the others."""
    for trained in models.values():
        c, points = context_and_points(trained, table, where, stated)
        model = trained.checkpoint.model
        if isinstance(model, ChecksPoints):
            _, rejected = model.analysis(replace(c, points=points))
            for sentence in rejection_messages(rejected, table, where):
                LOG.warning(sentence)
            return table[~rejected.cpu().numpy()].reset_index(drop=True)
    return table


def context_and_points(
    trained: TrainedModel, table: pd.DataFrame, where: str, stated: Representativeness
) -> tuple[Context, Points]:
    """A context of the times of a table without observed cells, and its points with all their errors."""
    model, codec = trained.checkpoint.model, trained.checkpoint.field_codec
    times = trained.times_near(table, where)
    points = points_of(table, times, codec, model.space, where)
    c = context_of(trained.nothing_observed(times), codec, model.space, 0.0)
    return c, points.with_error(error_variance(model, replace(c, points=points), codec, stated))


def clusters(table: pd.DataFrame, seed: int, where: str) -> Int[np.ndarray, " n"]:
    """The cluster of each observation, by the location of its station."""
    locations = table[["latitude", "longitude"]].drop_duplicates()
    if len(locations) < MIN_STATIONS:
        raise InputError(
            f"{where} has {counted(len(locations), 'station')}: leaving some out requires at least {MIN_STATIONS}."
        )
    points = np.concatenate([unit_points([y], [x])[0] for y, x in locations.to_numpy()])
    from sklearn.cluster import KMeans  # slow to import

    fit = KMeans(min(CLUSTERS, len(locations) // 2), n_init=4, random_state=seed).fit(points)
    number = pd.Series(fit.labels_, pd.MultiIndex.from_frame(locations))
    return number.loc[pd.MultiIndex.from_frame(table[["latitude", "longitude"]])].to_numpy()


@torch.no_grad()
def model_scores(
    name: str, trained: TrainedModel, table: pd.DataFrame, cluster: Int[np.ndarray, " n"],
    members: int, seed: int, where: str, stated: Representativeness,
) -> Iterator[tuple[list[dict[str, object]], pd.DataFrame]]:  # fmt: skip
    """Rows of one model, and its scores at each station, for each variable."""
    model, codec = trained.checkpoint.model, trained.checkpoint.field_codec
    check_accepts_points(model, f"'{name}'")
    c, points = context_and_points(trained, table, where, stated)
    drawn = 1 if model.deterministic else members
    predicted = torch.empty(len(points), drawn, dtype=torch.float64)
    fold = torch.from_numpy(cluster % FOLDS)
    for out in Progress(range(FOLDS), unit="fold"):
        left_out = fold == out
        x = draw(model, replace(c, points=points[~left_out]), members, seed, out)
        existing = torch.where(model.space.exists, x, 0.0)  # a non-finite draw makes the score non-finite
        predicted[left_out] = points[left_out].at(existing).double().cpu()
    if drawn > 1:
        errors = RandomStreams(seed, torch.arange(len(points)), drawn, LEFT_OUT_ERRORS_STEP)
        predicted += errors.normal(1)[..., 0].cpu() * points.error.sqrt()[:, None].cpu()
    y = points.y.double().cpu().numpy()
    for v, variable in enumerate(codec.variables):
        of_variable = points.variable.cpu().numpy() == v
        if of_variable.any():
            yield prediction_scores(
                name, variable, table[of_variable], predicted[of_variable].T.numpy(), y[of_variable],
                cluster[of_variable], float(codec.deviation[v]), codec.attrs[variable].get("units", "1"), seed,
            )  # fmt: skip


def prediction_scores(
    name: str, variable: str, table: pd.DataFrame, predicted: Float[np.ndarray, "member n"], y: Float[np.ndarray, " n"],
    cluster: Int[np.ndarray, " n"], scale: float, units: str, seed: int,
) -> tuple[list[dict[str, object]], pd.DataFrame]:  # fmt: skip
    """Rows of one model and variable, and its scores at each station.

    Parameters
    ----------
    name, variable
        Names of the model and of the variable.
    table
        The readings.
    predicted, y
        Draws of the readings, and the readings, divided by `scale`.
    cluster
        Cluster of each reading.
    scale, units
        Standard deviation of the variable, and its units.
    seed
        Seed of the resamples.
    """
    statistics = {**observation_statistics(predicted, y), "error": predicted.mean(0) - y}
    rows: list[dict[str, object]] = [
        {
            "experiment": name, "variable": variable, "score": score, "value": value, "low": low, "high": high,
            "unit": units if score in ("crps", "rmse") else "1", "observations": len(y),
        }
        for score, value, low, high in scores_with_intervals(statistics, cluster, scale, seed)
    ]  # fmt: skip
    return rows, by_station(table, statistics, scale).assign(experiment=name, unit=units)


def by_station(table: pd.DataFrame, statistics: Columns, scale: float) -> pd.DataFrame:
    """Scores of one variable at each station: observations, crps, rmse, bias (mean minus reading), coverage90.

    CRPS, RMSE and bias are in the unit of `scale`, the standard deviation of the variable.
    """
    columns = {name: np.asarray(values) for name, values in statistics.items()}
    scored = table.assign(**{name: columns[name] for name in ("crps", "square", "error")})
    scored["coverage90"] = columns.get("coverage", np.nan)
    means = scored.groupby(station_columns(table), sort=False, dropna=False).agg(
        observations=("value", "size"), crps=("crps", "mean"), rmse=("square", "mean"), bias=("error", "mean"),
        coverage90=("coverage90", "mean"),
    )  # fmt: skip
    means["rmse"] = np.sqrt(means["rmse"])
    means[["crps", "rmse", "bias"]] *= scale
    return means.reset_index()


def as_text(table: pd.DataFrame) -> str:
    """A table for each variable: a line for each experiment, best CRPS first, with 95 % intervals."""
    blocks = []
    for variable, of_variable in table.groupby("variable", sort=False):
        unit = of_variable.loc[of_variable["score"] == "crps", "unit"].iloc[0]
        count = of_variable["observations"].iloc[0]
        of_unit = "the unit of the readings" if unit == NO_UNIT else unit
        lines = [f"{variable} at left-out stations, {count} observations; CRPS and RMSE in {of_unit}"]
        names = [name for name in TITLES if name in set(of_variable["score"])]
        lines.append(f"{'':36}" + "".join(f"{TITLES[name]:>{COLUMN_WIDTH}}" for name in names))
        by_experiment = of_variable.set_index(["experiment", "score"])
        crps = of_variable[of_variable["score"] == "crps"].sort_values("value")
        for experiment in crps["experiment"]:
            cells = [cell(by_experiment, (experiment, name)) for name in names]
            lines.append(f"{experiment:36}" + "".join(f"{text:>{COLUMN_WIDTH}}" for text in cells))
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks)


def largest_biases(table: pd.DataFrame, stations: pd.DataFrame) -> str:
    """A line for each variable: the stations at which the experiment with the lowest CRPS has its largest biases."""
    lines = []
    for variable, of_variable in table[table["score"] == "crps"].groupby("variable", sort=False):
        best = of_variable.loc[of_variable["value"].idxmin()]
        same_variable = stations["variable"] == variable
        of_best = stations[same_variable & (stations["experiment"] == best["experiment"])]
        largest = of_best.loc[of_best["bias"].abs().nlargest(LISTED_BIASES).index]
        unit = "" if best["unit"] == NO_UNIT else f" {best['unit']}"
        listed = [
            f"{row.get('station', '{latitude:g}, {longitude:g}'.format(**row))} {row['bias']:+.3g}{unit}"
            + (f" ({row['coverage90']:.0%} within the 90 % interval)" if row["coverage90"] >= 0 else "")
            for _, row in largest.iterrows()
        ]
        lines.append(
            f"largest biases of {variable} in {best['experiment']} (mean minus reading): {', '.join(listed)}"
        )
    return "\n".join(lines)


def cell(table: pd.DataFrame, index: tuple[str, str]) -> str:
    """Value and interval, or a dash."""
    if index not in table.index:
        return "-"
    row = table.loc[index]
    value, low, high = (significant(row[name]) for name in ("value", "low", "high"))
    return value if math.isnan(row["low"]) else f"{value} ({low} to {high})"
