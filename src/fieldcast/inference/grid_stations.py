"""Fields from stations alone, without any gridded data: the public function, and what its pipeline writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from fieldcast import calendars
from fieldcast.counted import MAX_LISTED, counted, listed
from fieldcast.departures import MAX_DEPARTURE
from fieldcast.encoding.device import choose_device
from fieldcast.errors import InputError
from fieldcast.fields.conventions import as_dataset
from fieldcast.fields.gauges import Gauges
from fieldcast.fields.result_names import FLAG, SPREAD
from fieldcast.fields.stations import observation_text
from fieldcast.fields.target_grid import covering_grid, grid_like
from fieldcast.geometry import GRID, great_circle_km, unit_points
from fieldcast.inference.gaps_result import flag_attributes
from fieldcast.inference.gridding_scores import LeftOut, predict_left_out, spread_factor
from fieldcast.inference.left_out_stations import MIN_STATIONS, as_text, clusters, largest_biases
from fieldcast.inference.result_attributes import with_attributes
from fieldcast.inference.station_kriging import VALUES_AT_ONCE, StationKriging

LOG = logging.getLogger(__name__)
TABLE = "the table of stations"
MODEL = "kriging of stations in space and time"
MAX_VALUES = 10**8  # largest number of values of a variable on the grid
COLUMNS = ["experiment", "variable", "score", "value", "low", "high", "unit", "observations"]
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
    scores: pd.DataFrame  # at left-out stations, as `left_out_stations.scores_at_left_out` has them
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
    than two e-folding lengths of the correlation. The attribute `comment` holds the report, with scores at stations
    that are left out.

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
        Seed of the stations that are hidden or left out.
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
    """Fields with their scores and report; about `values` values are in memory at once.

    Raises
    ------
    InputError
        If both or neither of a resolution and a grid are given, or if the stations cannot be gridded.
    """
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
    text = report(results, scores, by_station, len(gauges.locations))
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
    """Grid one variable, and score it at left-out stations if it has enough.

    The clusters are those of its own stations: if they lie together among many of other variables, one cluster of all
    stations would hold all of them.
    """
    record, table = gauges.of(variable)
    kriging = StationKriging.fit(record, seed, device)
    q, tables = 1.0, (pd.DataFrame(columns=COLUMNS), pd.DataFrame())
    if record.x.shape[1] >= MIN_STATIONS:
        predictions = predict_left_out(kriging, table, clusters_of(table, gauges.locations, seed, where))
        q = spread_factor(predictions.errors())
        warn_of_doubtful(predictions)
        scored = list(predictions.scores(gauges.units[variable], seed))
        rows = [row for table, _ in scored for row in table]
        tables = pd.DataFrame(rows), pd.concat([by_station for _, by_station in scored], ignore_index=True)
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


def warn_of_doubtful(predictions: LeftOut) -> None:
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
            len(doubtful_readings), len(predictions.table), MAX_DEPARTURE, listed(texts, len(doubtful_readings)),
        )  # fmt: skip


def summary_line(variable: str, kriging: StationKriging, gauges: Gauges, q: float, unscored: bool) -> str:
    """Correlation of a variable, and how its spread was derived."""
    steps = counted(kriging.duration, "step")
    spread_text = (
        "from the kriging, not rescaled"
        if unscored
        else f"multiplied by {q:.3g}, so that it is right at left-out stations"
    )
    cycle = "an annual cycle" if kriging.record.seasonal else "no annual cycle (less than two years)"
    return (
        f"{variable}: correlation 1/e at {great_circle_km(kriging.length):.0f} km and at {steps} of {gauges.step}; "
        f"{float(kriging.model.correlation.nugget):.0%} of the variance of anomalies is peculiar to each reading; "
        f"{cycle}; spread {spread_text}"
    )


def report(
    variables: list[GriddedVariable], scores: pd.DataFrame, by_station: pd.DataFrame, stations: int
) -> str:
    """Scores at left-out stations, and a line for each variable."""
    lines = "\n".join(variable.line for variable in variables)
    if scores.empty:
        few = f"leaving stations out requires at least {MIN_STATIONS} of a variable, and there are {stations}"
        return f"{lines}\nno scores: {few}"
    return f"{as_text(scores)}\n\n{largest_biases(scores, by_station)}\n{lines}"
