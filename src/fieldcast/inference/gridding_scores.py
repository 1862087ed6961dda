"""Scores of fields from stations alone, at stations that are left out, and the spread that their errors imply.

Clusters of stations are left out in ten folds (`left_out_stations`), and their readings predicted from all others: the
climate is kriged without them, but kernels and the correlation are those of all stations. The spread of a variable is
multiplied by one factor q, so that the mean square of the standardised errors e is 1. Errors are limited to
`MAX_DEPARTURE`, 5, so that a few wrong readings do not make the spread of all others too large:

    mean min(e / q, 5)^2 = 1.

Scores are cross-fitted: q of a cluster comes from the errors at clusters that are left out in other folds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

from fieldcast.departures import MAX_DEPARTURE
from fieldcast.fields.gauges import GaugeRecord
from fieldcast.inference.left_out_stations import FOLDS, prediction_scores
from fieldcast.inference.station_kriging import StationKriging
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.reserved_numbers import LEFT_OUT_ERRORS_STEP
from fieldcast.progress import Progress

MEMBERS = 19  # number of scored draws, for which the coverage of 90 % is exact
ITERATIONS = 50  # iterations of the factor, enough for convergence
KRIGING, CLIMATOLOGY, NEAREST, LINEAR = "kriging", "climatology", "nearest", "linear"
WITH_SPREAD = (KRIGING, CLIMATOLOGY)  # predictions with a spread


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Readings of one variable, and their predictions from the stations of other clusters.

    Parameters
    ----------
    table
        The readings.
    cluster
        Cluster of each reading.
    mean, spread
        Predictions of each method, and the standard deviations of their errors before the factor q.
    """

    table: pd.DataFrame
    cluster: Int[np.ndarray, " n"]
    mean: dict[str, Float[np.ndarray, " n"]]
    spread: dict[str, Float[np.ndarray, " n"]]

    def errors(self, name: str = KRIGING) -> Float[np.ndarray, " n"]:
        """Standardised errors e of a method, before the factor q."""
        y = self.table["value"].to_numpy(float)
        return np.asarray((y - self.mean[name]) / self.spread[name])

    def factors(self, name: str = KRIGING) -> Float[np.ndarray, " n"]:
        """Factor q for each reading, from the errors in other folds."""
        fold, errors = self.cluster % FOLDS, self.errors(name)
        by_fold = {number: spread_factor(errors[fold != number]) for number in np.unique(fold)}
        return np.array([by_fold[number] for number in fold])

    def doubtful_readings(self) -> pd.DataFrame:
        """Readings more than `MAX_DEPARTURE` spreads from their predictions, with the column `predicted`."""
        far = np.abs(self.errors()) > MAX_DEPARTURE * self.factors()
        return self.table[far].assign(predicted=self.mean[KRIGING][far])

    def scores(self, units: str, seed: int) -> Iterator[tuple[list[dict[str, object]], pd.DataFrame]]:
        """Yield, for each method, rows of scores and a table of its scores at each station."""
        y, variable = self.table["value"].to_numpy(float), str(self.table["variable"].iloc[0])
        streams = RandomStreams(seed, torch.arange(len(y)), MEMBERS, LEFT_OUT_ERRORS_STEP)
        for name, mean in self.mean.items():
            predicted = mean[None]
            if name in WITH_SPREAD:
                noise = streams.normal(1)[..., 0].double().numpy().T
                predicted = mean + self.factors(name) * self.spread[name] * noise
            yield prediction_scores(name, variable, self.table, predicted, y, self.cluster, 1.0, units, seed)


def spread_factor(errors: Float[np.ndarray, " n"]) -> float:
    """Factor q that makes the mean square of standardised errors 1, with errors beyond `MAX_DEPARTURE` q limited."""
    square = np.square(errors)
    q = float(np.sqrt(square.mean()))
    for _ in range(ITERATIONS):
        q = float(np.sqrt(np.minimum(square, (MAX_DEPARTURE * q) ** 2).mean()))
    return q


def predict_left_out(kriging: StationKriging, table: pd.DataFrame, cluster: Int[np.ndarray, " n"]) -> LeftOut:
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
    degrees = in_degrees(table, record.x.shape[1])
    for number in Progress(np.unique(fold).tolist(), unit="fold"):
        removed = fold == number
        without_removed = kriging.without(removed)
        gridded = without_removed.at(record.points[removed], record.observed[:, removed])
        mean[KRIGING][:, removed], spread[KRIGING][:, removed] = gridded.mean, np.sqrt(gridded.variance)
        mean[CLIMATOLOGY][:, removed] = without_removed.climate.at(record.points[removed]).mean(record.phase)
        spread[CLIMATOLOGY][:, removed] = np.sqrt(gridded.climatological)
        mean[NEAREST][:, removed], mean[LINEAR][:, removed] = interpolate(
            record.of(~removed), degrees[~removed], record.points[removed], degrees[removed]
        )
    present = record.observed
    return LeftOut(
        table,
        cluster,
        {name: values[present] for name, values in mean.items()},
        {name: values[present] for name, values in spread.items()},
    )


def in_degrees(table: pd.DataFrame, stations: int) -> Float[np.ndarray, "station 2"]:
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
