"""Fields from stations alone, without any gridded data: the public function, and what its pipeline writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from fieldcast import calendars
from fieldcast.encoding.device import choose_device
from fieldcast.errors import MAX_LISTED, InputError, counted, listed
from fieldcast.fields import conventions
from fieldcast.fields.conventions import FLAG, SPREAD, as_dataset, in_degrees, refuse_projected
from fieldcast.fields.gauges import GaugeRecord, Gauges
from fieldcast.fields.stations import observation_text
from fieldcast.geometry import GRID, great_circle_km, unit_points
from fieldcast.inference.gaps.result import flag_attributes
from fieldcast.inference.result_attributes import with_attributes
from fieldcast.inference.stations.held_out import FOLDS, MIN_STATIONS, clusters, prediction_scores
from fieldcast.inference.stations.kriging import VALUES_AT_ONCE, StationKriging
from fieldcast.innovations import MAX_INNOVATION
from fieldcast.models.random_streams import HELD_OUT_ERRORS_STEP, RandomStreams
from fieldcast.runtime import Progress
from fieldcast.scores.held_out import COLUMNS, as_text

LOG = logging.getLogger(__name__)
TABLE = "the table of stations"
MODEL = "kriging of stations in space and time"
MAX_VALUES = 10**8  # largest number of values of a variable on the grid
BY_STATION = ["observations", "crps", "rmse", "bias", "coverage90", "experiment", "unit"]
SUMMARY = (
    "{} on a grid, kriged in space and time from stations alone; the spread is the standard deviation of the error of "
    "a reading there."
)
SPREAD_COMMENT = (
    "standard deviation of the error of what a station here would read, including the error of its instrument and the "
    "variance that neighbouring stations do not share (the nugget)"
)


class Result(NamedTuple):
    """Fields with their scores."""

    fields: xr.Dataset
    scores: pd.DataFrame  # at held-out stations, as `held_out.scores_at_held_out` has them
    by_station: pd.DataFrame
    text: str  # the report


def grid_stations(
    stations: pd.DataFrame | str | Path,
    *,
    resolution: float | None = None,
    like: xr.Dataset | xr.DataArray | None = None,
    step: float | None = None,
    seed: int = 0,
    device: str = "auto",
) -> xr.Dataset:
    """Fields of the variables of a table of stations, on a grid, from nothing but the table.

    Each variable v becomes v, the expected reading of a station in the middle of each cell, v_spread, the standard
    deviation of its error (with the error of the instrument and all that neighbouring places do not share), and v_flag:
    1 filled, 2 extrapolated, where the spread exceeds 0.9 of that of the climatology or the nearest reading is farther
    than two e-folding lengths of the correlation. The attribute `comment` holds the report, with scores at held-out
    stations.

    Parameters
    ----------
    stations
        A table as `fields.stations` describes it, or the path of one, CSV or Parquet. Its errors are not used.
    resolution
        Degrees between the cells of a regular grid that covers the stations.
    like
        In place of a resolution, a data set whose latitudes and longitudes are used.
    step
        Hours between fields; by default the most frequent interval between readings of a station. Readings within a
        step are averaged.
    seed
        Seed of the stations that are held out.
    device
        "auto", "cpu" or "cuda".

    Raises
    ------
    InputError
        Unless either a resolution or a data set is given, for a grid with more than 10^8 values of a variable, and for
        tables that cannot be used.
    """
    dataset = None if like is None else as_dataset(like, "like")
    where = TABLE if isinstance(stations, pd.DataFrame) else f"'{stations}'"
    result = grid_and_score(stations, resolution, dataset, step, seed, device, where)
    LOG.info("%s", result.text)
    return result.fields


def grid_and_score(
    stations: pd.DataFrame | str | Path, resolution: float | None, like: xr.Dataset | None, step: float | None,
    seed: int, device: str, where: str, values: int = VALUES_AT_ONCE,
) -> Result:  # fmt: skip
    """Fields with their scores and report; about `values` values are in memory at once."""
    if (resolution is None) == (like is None):
        which = "neither is" if like is None else "both are"
        raise InputError(
            f"gridding needs either a resolution or the grid of a data set, and {which} given: give --resolution 0.5, "
            "in degrees, or --like FILE (gridding.resolution or gridding.like; resolution or like in Python)."
        )
    gauges = Gauges.read(stations, step, where)
    grid = (
        grid_like(like, "like")
        if like is not None
        else covering_grid(gauges.locations, float(resolution or 0))
    )
    check_size(gauges, grid)
    results = []
    with threadpool_limits(1, user_api="blas"):  # the order of sums depends on the number of threads
        for variable in gauges.units:
            LOG.info("Gridding %s: %d times, %d stations", variable, len(gauges.times), len(gauges.locations))
            results.append(grid_variable(gauges, variable, grid, seed, choose_device(device), values, where))
    scores, by_station = (
        pd.concat(tables, ignore_index=True)
        for tables in zip(*(result.scores for result in results), strict=True)
    )
    if by_station.empty:
        by_station = pd.DataFrame(columns=["latitude", "longitude", "variable", *BY_STATION])
    text = report(results, scores, len(gauges.locations))
    fields = xr.merge([result.fields for result in results], combine_attrs="override")
    options = {"seed": seed, "stations": len(gauges.locations), **gauges.step.attrs()}
    fields = with_attributes(fields, {}, "Gridding", MODEL, options)
    keywords = ", ".join(["gridding", "stations", "kriging", *gauges.units])
    summary = SUMMARY.format(", ".join(gauges.units))
    return Result(
        fields.assign_attrs(summary=summary, keywords=keywords, comment=text), scores, by_station, text
    )


class GriddedVariable(NamedTuple):
    """One variable of a result, with its scores."""

    fields: xr.Dataset
    scores: tuple[pd.DataFrame, pd.DataFrame]
    line: str  # summary of correlation and spread


def grid_variable(
    gauges: Gauges, variable: str, grid: Mapping[str, Float[np.ndarray, " n"]],
    seed: int, device: torch.device, values: int, where: str,
) -> GriddedVariable:  # fmt: skip
    """Grid one variable, and score it at held-out stations if it has enough.

    The clusters are those of its own stations: if they lie together among many of other variables, one cluster of all
    stations would hold all of them.
    """
    record, table = gauges.of(variable)
    kriging = StationKriging.fit(record, seed, device)
    q, tables = 1.0, (pd.DataFrame(columns=COLUMNS), pd.DataFrame())
    if record.x.shape[1] >= MIN_STATIONS:
        predictions = predict_held_out(kriging, table, clusters_of(table, gauges.locations, seed, where))
        q = spread_factor(predictions.errors())
        warn_of_doubtful(predictions)
        tables = predictions.scores(gauges.units[variable], seed)
    fields = on_grid(kriging, q, gauges, variable, grid, values)
    return GriddedVariable(fields, tables, summary_line(variable, kriging, gauges, q, tables[0].empty))


def on_grid(
    kriging: StationKriging, q: float, gauges: Gauges, variable: str,
    grid: Mapping[str, Float[np.ndarray, " n"]], values: int,
) -> xr.Dataset:  # fmt: skip
    """Predict a variable on the cells of a grid, with spreads multiplied by q."""
    points = unit_points(grid["latitude"], grid["longitude"])
    shape = len(gauges.times), points.shape[0] * points.shape[1]
    mean, spread = np.empty((2, *shape), dtype=np.float32)
    flag = np.empty(shape, dtype=np.int8)
    for piece, part, flags in kriging.pieces(points.reshape(-1, 3), values):
        mean[:, piece], spread[:, piece], flag[:, piece] = part.mean, q * np.sqrt(part.variance), flags
    on_cells = {"": mean, SPREAD: spread, FLAG: flag}
    units = gauges.units[variable]
    attrs: dict[str, dict[str, Any]] = {
        "": {"long_name": variable, "units": units},
        SPREAD: {"long_name": f"spread of {variable}", "units": units, "comment": SPREAD_COMMENT},
        FLAG: {"long_name": f"flag of {variable}", **flag_attributes()},
    }
    times = calendars.in_nanoseconds(gauges.times)
    return xr.Dataset(
        {
            f"{variable}{part}": (("time", *GRID), cells.reshape(shape[0], *points.shape[:2]), attrs[part])
            for part, cells in on_cells.items()
        },
        {"time": times, **grid},
    )


def check_size(gauges: Gauges, grid: Mapping[str, Float[np.ndarray, " n"]]) -> None:
    """Raise an InputError for a grid with too many values."""
    rows, columns, times = len(grid["latitude"]), len(grid["longitude"]), len(gauges.times)
    if rows * columns * times > MAX_VALUES:
        raise InputError(
            f"the grid has {rows} x {columns} cells at {times} times, {rows * columns * times:.2g} values of a "
            f"variable, more than the {MAX_VALUES:.0e} that a run can grid: give a coarser resolution, or a part of "
            "the table."
        )


def clusters_of(table: pd.DataFrame, locations: pd.DataFrame, seed: int, where: str) -> Int[np.ndarray, " n"]:
    """The cluster of each reading of a variable, whatever the order of the readings."""
    location, of_reading = np.unique(table["at_location"], return_inverse=True)
    return clusters(locations.iloc[location], seed, where)[of_reading]


def warn_of_doubtful(predictions: HeldOut) -> None:
    """Log the readings that are far from their predictions by other stations; they stay in use."""
    doubtful_readings = predictions.doubtful_readings()
    if len(doubtful_readings):
        texts = [
            f"{observation_text(row)}: {row['value']:.5g} instead of about {row['predicted']:.5g}"
            for row in doubtful_readings.head(MAX_LISTED).to_dict("records")
        ]
        LOG.warning(
            "%d of %d readings are more than %g spreads from the prediction by stations outside their cluster, "
            "and are still used: %s; check them.",
            len(doubtful_readings), len(predictions.table), MAX_INNOVATION, listed(texts, len(doubtful_readings)),
        )  # fmt: skip


def summary_line(variable: str, kriging: StationKriging, gauges: Gauges, q: float, unscored: bool) -> str:
    """Correlation of a variable, and how its spread was derived."""
    steps = counted(kriging.duration, "step")
    spread_text = (
        "from the kriging, not rescaled"
        if unscored
        else f"multiplied by {q:.3g}, so that it is right at held-out stations"
    )
    cycle = "an annual cycle" if kriging.record.seasonal else "no annual cycle (less than two years)"
    return (
        f"{variable}: correlation 1/e at {great_circle_km(kriging.length):.0f} km and at {steps} of {gauges.step}; "
        f"{float(kriging.model.correlation.nugget):.0%} of the variance of anomalies is peculiar to each reading; "
        f"{cycle}; spread {spread_text}"
    )


def report(variables: list[GriddedVariable], scores: pd.DataFrame, stations: int) -> str:
    """Scores at held-out stations, and a line for each variable."""
    lines = "\n".join(variable.line for variable in variables)
    if scores.empty:
        few = f"holding stations out requires at least {MIN_STATIONS} of a variable, and there are {stations}"
        return f"{lines}\nno scores: {few}"
    return f"{as_text(scores, 'readings at held-out stations')}\n\n{lines}"


# Grids on which fields are made from stations.


MIN_LINES = 2  # smallest number of rows, and of columns
MAX_RESOLUTION = 90.0  # coarsest resolution, in degrees


def covering_grid(locations: pd.DataFrame, resolution: float) -> dict[str, Float[np.ndarray, " n"]]:
    """Latitudes and longitudes, multiples of the resolution in degrees, that cover some locations."""
    if not 0 < resolution <= MAX_RESOLUTION:
        raise InputError(
            f"the resolution is {resolution:g}: give degrees, more than 0 and at most {MAX_RESOLUTION:g}."
        )
    grid = {}
    for axis, most in zip(GRID, (90.0, np.inf), strict=True):
        low, high = (float(end) for end in (locations[axis].min(), locations[axis].max()))
        first, last = int(np.floor(low / resolution + 1e-9)), int(np.ceil(high / resolution - 1e-9))
        values = np.arange(first, max(last, first + 1) + 1) * resolution
        grid[axis] = values[np.abs(values) <= most]
        if len(grid[axis]) < MIN_LINES:
            grid[axis] = (
                np.array([-resolution, 0.0, resolution]) if first < 0 else np.array([0.0, resolution])
            )
    around = grid["longitude"]
    grid["longitude"] = around[around < around[0] + 360.0 - 1e-6]
    return grid


def grid_like(dataset: xr.Dataset, where: str) -> dict[str, Float[np.ndarray, " n"]]:
    """Latitudes and longitudes of a data set in any layout."""
    axes = conventions.axes(dataset)
    if missing := [axis for axis in GRID if axis not in axes]:
        raise InputError(f"{where} has no {' and no '.join(missing)}: give a data set on such a grid.")
    refuse_projected(dataset, where)
    grid = {axis: in_degrees(dataset[axes[axis]], axis, where).values.astype(float) for axis in GRID}
    for axis, values in grid.items():
        if values.ndim != 1 or len(values) < MIN_LINES:
            raise InputError(
                f"{where}: its {axis} needs at least two values along one axis: give a rectilinear grid."
            )
    return grid


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
        """Readings more than `MAX_INNOVATION` spreads from their predictions, with the column `predicted`."""
        far = np.abs(self.errors()) > MAX_INNOVATION * self.factors()
        return self.table[far].assign(predicted=self.mean[KRIGING][far])

    def scores(self, units: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Scores of all methods, and those at each station."""
        y, variable, tables = self.table["value"].to_numpy(float), str(self.table["variable"].iloc[0]), []
        streams = RandomStreams(seed, torch.arange(len(y)), MEMBERS, HELD_OUT_ERRORS_STEP)
        for name, mean in self.mean.items():
            predicted = mean[None]
            if name in WITH_SPREAD:
                noise = streams.normal(1)[..., 0].double().numpy().T
                predicted = mean + self.factors(name) * self.spread[name] * noise
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
        gridded = without_removed.at(record.points[removed], record.observed[:, removed])
        mean[KRIGING][:, removed], spread[KRIGING][:, removed] = gridded.mean, np.sqrt(gridded.variance)
        mean[CLIMATOLOGY][:, removed] = without_removed.climate.at(record.points[removed]).mean(record.phase)
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
