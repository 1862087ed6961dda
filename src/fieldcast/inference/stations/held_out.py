"""Scores at held-out stations: how good a filled field is between the observations, without any truth.

Stations are grouped into clusters, and whole clusters are held out in ten folds, because the neighbour of a held-out
station would reveal its value. The predicted reading has instrument and representativeness errors; 95 % intervals come
from resampling the clusters.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.stations import points_of
from fieldcast.errors import InputError, counted
from fieldcast.fields.gauges import GaugeRecord
from fieldcast.fields.stations import converted, read_stations, station_columns
from fieldcast.geometry import unit_points
from fieldcast.inference.reconstruct import context_of, draw
from fieldcast.inference.stations.kriging import StationKriging
from fieldcast.inference.stations.observations import (
    Representativeness,
    check_accepts_points,
    error_variance,
    rejection_messages,
)
from fieldcast.inference.stations.suspects import places
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.innovations import MAX_INNOVATION
from fieldcast.models.capabilities import ChecksPoints
from fieldcast.models.core import Context
from fieldcast.models.points import Points
from fieldcast.models.random_streams import HELD_OUT_ERRORS_STEP, RandomStreams
from fieldcast.runtime import Progress
from fieldcast.scores.held_out import held_out_statistics, score_held_out, scores_by_group

LOG = logging.getLogger(__name__)
FOLDS = 10  # groups of clusters, of which one is held out at a time
CLUSTERS = 40  # largest number of clusters
MIN_STATIONS = 20  # smallest number of stations from which some are held out


def scores_at_held_out(
    models: Mapping[str, TrainedModel], stations: pd.DataFrame | str, members: int, seed: int,
    where: str = "the table of stations", stated: Representativeness = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Scores of each model, by experiment and variable: CRPS, RMSE, spread-skill ratio, coverage of 90 %; by station.

    The second table has a row for each experiment and station (`scores_by_group`).

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
    table = read_stations(stations, where)
    for model in models.values():
        table = model.valid_readings(table, where)
    table = without_gross_errors(table, models, where, stated)
    cluster = clusters(table, seed, where)
    tables = [
        pair
        for name, model in models.items()
        for pair in model_scores(name, model, table, cluster, members, seed, where, stated)
    ]
    scores, by_station = (pd.concat(each, ignore_index=True) for each in zip(*tables, strict=True))
    return scores, by_station


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
    points = np.concatenate([unit_points([y], [x])[0] for y, x in locations.to_numpy()])
    first, place = np.unique(places(points), return_index=True, return_inverse=True)[1:]
    if len(first) < MIN_STATIONS:
        raise InputError(
            f"{where} has {counted(len(first), 'station')}: holding some out requires at least {MIN_STATIONS}."
        )
    from sklearn.cluster import KMeans  # slow to import

    fit = KMeans(min(CLUSTERS, len(first) // 2), n_init=4, random_state=seed).fit(points[first])
    number = pd.Series(fit.labels_[place], pd.MultiIndex.from_frame(locations))
    return number.loc[pd.MultiIndex.from_frame(table[["latitude", "longitude"]])].to_numpy()


def clusters_of(table: pd.DataFrame, locations: pd.DataFrame, seed: int, where: str) -> Int[np.ndarray, " n"]:
    """The cluster of each reading of a variable, whatever the order of the readings."""
    location, of_reading = np.unique(table["at_location"], return_inverse=True)
    return clusters(locations.iloc[location], seed, where)[of_reading]


@torch.no_grad()
def model_scores(
    name: str, trained: TrainedModel, table: pd.DataFrame, cluster: Int[np.ndarray, " n"],
    members: int, seed: int, where: str, stated: Representativeness,
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:  # fmt: skip
    """Scores of one model, and its scores at each station, for each variable."""
    model, codec = trained.checkpoint.model, trained.checkpoint.field_codec
    check_accepts_points(model, f"'{name}'")
    c, points = context_and_points(trained, table, where, stated)
    drawn = 1 if model.deterministic else members
    predicted = torch.empty(len(points), drawn, dtype=torch.float64)
    fold = torch.from_numpy(cluster % FOLDS)
    for out in Progress(range(FOLDS), unit="fold"):
        held_out = fold == out
        x = draw(model, replace(c, points=points[~held_out]), members, seed, out)
        existing = torch.where(model.space.exists, x, 0.0)  # a non-finite draw makes the score non-finite
        predicted[held_out] = points[held_out].at(existing).double().cpu()
    if drawn > 1:
        errors = RandomStreams(seed, torch.arange(len(points)), drawn, HELD_OUT_ERRORS_STEP)
        predicted += errors.normal(1)[..., 0].cpu() * points.error.sqrt()[:, None].cpu()
    y = points.y.double().cpu().numpy()
    for v, variable in enumerate(codec.variables):
        of_variable = points.variable.cpu().numpy() == v
        if of_variable.any():
            units = codec.attrs[variable].get("units", "1")
            x, truth, scale = predicted[of_variable].T.numpy(), y[of_variable], float(codec.deviation[v])
            if variable in codec.quantities:
                readings = converted(table[of_variable], {variable: units}, where)["value"].to_numpy(float)
                x, truth, scale = in_own_units(codec, variable, x, truth, scale, readings)
            yield prediction_scores(
                name, variable, table[of_variable], x, truth, cluster[of_variable], scale, units, seed
            )


def in_own_units(
    codec: FieldCodec, variable: str, predicted: Float[np.ndarray, "member n"], y: Float[np.ndarray, " n"],
    deviation: float, readings: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, "member n"], Float[np.ndarray, " n"], float]:  # fmt: skip
    """Draws of the readings of a mapped variable, and the readings, in their units, with a scale of 1."""
    normal = codec.mapped(variable, readings)[0] - deviation * y
    return codec.in_own_units(variable, (deviation * predicted + normal)[None]), readings, 1.0


def prediction_scores(
    name: str, variable: str, table: pd.DataFrame, predicted: Float[np.ndarray, "member n"], y: Float[np.ndarray, " n"],
    cluster: Int[np.ndarray, " n"], scale: float, units: str, seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Scores of one model and variable, and those at each station.

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
    statistics = held_out_statistics(y, predicted)
    scores = score_held_out(name, variable, statistics, scale=scale, units=units, cluster=cluster, seed=seed)
    by_station = scores_by_group(statistics, table[station_columns(table)], scale)
    return scores, by_station.assign(experiment=name, unit=units)


# Scores of fields from stations alone, at held-out stations, and the spread that their errors imply.
#
# Clusters of stations are held out in ten folds (`held_out.clusters`), and their readings predicted from all others:
# the climate is kriged without them, but kernels and the correlation are those of all stations. The spread of a
# variable is multiplied by one factor q, so that the mean square of the standardised errors e is 1. Errors are
# limited to `MAX_INNOVATION`, 5, so that a few wrong readings do not make the spread of all others too large:
#
#     mean min(e / q, 5)^2 = 1.
#
# Scores are cross-fitted: q of a cluster comes from the errors at clusters that are held out in other folds.


MEMBERS = 19  # number of scored draws, for which the coverage of 90 % is exact
ITERATIONS = 50  # iterations of the factor, enough for convergence
KRIGING, CLIMATOLOGY, NEAREST, LINEAR = "kriging", "climatology", "nearest", "linear"
WITH_SPREAD = (KRIGING, CLIMATOLOGY)  # predictions with a spread


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Readings of one variable, and their predictions from the stations of other clusters.

    Parameters
    ----------
    table
        The readings.
    cluster
        Cluster of each reading.
    mean, spread
        Predictions of each method, and the standard deviations of their errors before the factor q.
    least
        Lower limit of the standard deviation of an error after the factor: the error of a reading itself.
    """

    table: pd.DataFrame
    cluster: Int[np.ndarray, " n"]
    mean: dict[str, Float[np.ndarray, " n"]]
    spread: dict[str, Float[np.ndarray, " n"]]
    least: float = 0.0

    def errors(self, name: str = KRIGING) -> Float[np.ndarray, " n"]:
        """Standardised errors e of a method, before the factor q."""
        y = self.table["value"].to_numpy(float)
        return np.asarray((y - self.mean[name]) / self.spread[name])

    def factors(self, name: str = KRIGING) -> Float[np.ndarray, " n"]:
        """Factor q for each reading, from the errors in other folds."""
        fold, errors = self.cluster % FOLDS, self.errors(name)
        by_fold = {number: spread_factor(errors[fold != number]) for number in np.unique(fold)}
        return np.array([by_fold[number] for number in fold])

    def spreads(self, name: str = KRIGING) -> Float[np.ndarray, " n"]:
        """Standard deviations of the errors of a method after the factor q."""
        return np.asarray(np.maximum(self.factors(name) * self.spread[name], self.least))

    def doubtful_readings(self) -> pd.DataFrame:
        """Readings more than `MAX_INNOVATION` spreads from their predictions, with the column `predicted`."""
        far = np.abs(self.errors()) * self.spread[KRIGING] > MAX_INNOVATION * self.spreads()
        return self.table[far].assign(predicted=self.mean[KRIGING][far])

    def scores(self, units: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Scores of all methods, and those at each station."""
        y, variable, tables = self.table["value"].to_numpy(float), str(self.table["variable"].iloc[0]), []
        streams = RandomStreams(seed, torch.arange(len(y)), MEMBERS, HELD_OUT_ERRORS_STEP)
        for name, mean in self.mean.items():
            predicted = mean[None]
            if name in self.spread:
                noise = streams.normal(1)[..., 0].double().numpy().T
                predicted = mean + self.spreads(name) * noise
            tables.append(
                prediction_scores(name, variable, self.table, predicted, y, self.cluster, 1.0, units, seed)
            )
        scores, by_station = (pd.concat(each, ignore_index=True) for each in zip(*tables, strict=True))
        return scores, by_station


def spread_factor(errors: Float[np.ndarray, " n"]) -> float:
    """Factor q that makes the mean square of standardised errors 1, with errors beyond `MAX_INNOVATION` q limited."""
    square = np.square(errors)
    q = float(np.sqrt(square.mean()))
    for _ in range(ITERATIONS):
        q = float(np.sqrt(np.minimum(square, (MAX_INNOVATION * q) ** 2).mean()))
    return q


def predict_held_out(kriging: StationKriging, table: pd.DataFrame, cluster: Int[np.ndarray, " n"]) -> HeldOut:
    """Predict every reading of a record from the stations of other clusters.

    Parameters
    ----------
    kriging
        The record, with its fitted climate and correlation.
    table
        Readings in the order of the record; `column` is the number of their station.
    cluster
        Cluster of each reading.
    """
    record = kriging.record
    fold = np.zeros(record.x.shape[1], dtype=int)
    fold[table["column"]] = cluster % FOLDS
    mean = {name: np.full(record.x.shape, np.nan) for name in (KRIGING, CLIMATOLOGY, NEAREST, LINEAR)}
    spread = {name: np.full(record.x.shape, np.nan) for name in WITH_SPREAD}
    degrees = degrees_of_columns(table, record.x.shape[1])
    for number in Progress(np.unique(fold).tolist(), unit="fold"):
        removed = fold == number
        without_removed = kriging.without(removed)
        left_out = record.of(removed)
        gridded = without_removed.at(left_out.points, left_out.observed, left_out.elevation)
        mean[KRIGING][:, removed], spread[KRIGING][:, removed] = gridded.mean, np.sqrt(gridded.variance)
        climate = without_removed.climate.at(left_out.points, left_out.elevation)
        mean[CLIMATOLOGY][:, removed] = climate.mean(record.phase)
        spread[CLIMATOLOGY][:, removed] = np.sqrt(gridded.climatological)
        mean[NEAREST][:, removed], mean[LINEAR][:, removed] = interpolate(
            record.of(~removed), degrees[~removed], record.points[removed], degrees[removed]
        )
    present = record.observed
    return HeldOut(
        table,
        cluster,
        {name: values[present] for name, values in mean.items()},
        {name: values[present] for name, values in spread.items()},
        float(np.sqrt(kriging.within_places)),
    )


def degrees_of_columns(table: pd.DataFrame, stations: int) -> Float[np.ndarray, "station 2"]:
    """Longitude and latitude of each station of a record."""
    degrees = np.empty((stations, 2))
    degrees[table["column"]] = table[["longitude", "latitude"]]
    return degrees


def interpolate(
    record: GaugeRecord, degrees: Float[np.ndarray, "station 2"], points: Float[np.ndarray, "location 3"],
    at: Float[np.ndarray, "location 2"],
) -> tuple[Float[np.ndarray, "time location"], Float[np.ndarray, "time location"]]:  # fmt: skip
    """Readings of the nearest station at other locations, and linear interpolation in longitude and latitude.

    Times with the same stations are interpolated together. Outside the triangles of the stations, linear interpolation
    falls back to the nearest reading; at a time without any reading both are the mean of the record.
    """
    nearest = np.full((len(record.x), len(points)), float(np.nanmean(record.x)))
    linear = nearest.copy()
    patterns, of_time = np.unique(record.observed, axis=0, return_inverse=True)
    for number, present in enumerate(patterns):
        if not present.any():
            continue
        times = np.flatnonzero(of_time.ravel() == number)
        readings = record.x[np.ix_(times, np.flatnonzero(present))]
        nearest[times] = readings[:, cKDTree(record.points[present]).query(points)[1]]
        triangles = in_triangles(degrees[present], readings, at)
        linear[times] = np.where(np.isfinite(triangles), triangles, nearest[times])
    return nearest, linear


def in_triangles(
    degrees: Float[np.ndarray, "present 2"], readings: Float[np.ndarray, "time present"],
    at: Float[np.ndarray, "location 2"],
) -> Float[np.ndarray, "time location"]:  # fmt: skip
    """Linear interpolation in the triangles of some stations, NaN outside; for at least one triangle."""
    if len(degrees) < 3 or np.linalg.matrix_rank(degrees - degrees.mean(0), tol=1e-9) < 2:
        return np.full((len(readings), len(at)), np.nan)
    return np.asarray(LinearNDInterpolator(degrees, readings.T)(at).T)
