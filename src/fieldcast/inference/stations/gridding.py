"""Fields from stations alone, without any gridded data: the public function, and what its pipeline writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float
from threadpoolctl import threadpool_limits

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.errors import MAX_LISTED, InputError, counted, listed
from fieldcast.fields import conventions
from fieldcast.fields.conventions import (
    EXTRAPOLATED,
    FILLED,
    FLAG,
    NEVER,
    QUANTILES,
    SPREAD,
    as_dataset,
    in_degrees,
    refuse_projected,
)
from fieldcast.fields.gauges import Gauges, in_one_range, nature, requested, step_of_stations, valid_readings
from fieldcast.fields.quantities import AUTO, NONE, Clip, Quantity, in_chunks
from fieldcast.fields.stations import Source, observation_text, read_stations
from fieldcast.geometry import GRID, great_circle_km, unit_points
from fieldcast.inference.gaps.result import MAX_LENGTHS, MAX_SPREAD_SHARE, flag_attributes
from fieldcast.inference.quantities import as_lines
from fieldcast.inference.result_attributes import with_attributes
from fieldcast.inference.stations.covariance import COLUMNS as OF_VARIOGRAM
from fieldcast.inference.stations.covariance import Parameters, fixed_covariance, variogram
from fieldcast.inference.stations.elevation import ALTITUDE, LandMask, Relief, drift_text, with_elevations
from fieldcast.inference.stations.held_out import KRIGING, MIN_STATIONS, clusters_of
from fieldcast.inference.stations.kriging import FREE, MEAN, Fixed, StationKriging, flags
from fieldcast.inference.stations.own_units import (
    Fitted,
    choose_quantities,
    doubtful_readings,
    mapped_parts,
    names_of_parts,
    own_scores,
)
from fieldcast.inference.stations.surfaces import MIN_STATIONS_OF_DRIFT, Surface
from fieldcast.inference.stations.suspects import places, stations_of, without_suspects
from fieldcast.inference.stations.tracks import FittedTracks, Readings, fit_tracks, moves
from fieldcast.innovations import MAX_INNOVATION
from fieldcast.models.replicas import choose_device
from fieldcast.scores.held_out import COLUMNS, NO_UNIT, as_text

LOG = logging.getLogger(__name__)
TABLE = "the table of stations"
MODEL = "kriging of stations in space and time"
MODEL_OF_TRACKS = "kriging of readings along tracks in space and time"
HOURS_OF_TRACKS = 24.0  # hours between fields from readings along tracks
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
SPREAD_OF_TRACKS = (
    "standard deviation of the error of what an instrument of the tracks would read here, including its error and the "
    "bias of its pass"
)


class Result(NamedTuple):
    """Fields with their scores."""

    fields: xr.Dataset
    scores: pd.DataFrame  # at held-out stations, as `held_out.scores_at_held_out` has them
    by_station: pd.DataFrame
    text: str  # the report
    variogram: pd.DataFrame  # empirical and fitted, as `covariance.variogram` has them


def grid_stations(
    stations: Source,
    *,
    resolution: float | None = None,
    like: xr.Dataset | xr.DataArray | None = None,
    step: float | None = None,
    quantities: str | Mapping[str, str] = AUTO,
    accept: str | Sequence[str] | None = None,
    dem: xr.Dataset | xr.DataArray | None = None,
    covariance: str | Mapping[str, Any] | None = None,
    mask: xr.Dataset | xr.DataArray | None = None,
    columns: Mapping[str, str] | str | None = None,
    crs: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> xr.Dataset:
    """Fields of the variables of a table of stations, on a grid, from nothing but the table.

    Each variable v becomes v, the expected reading of a station in the middle of each cell, v_spread, the standard
    deviation of its error (with the error of the instrument and all that neighbouring places do not share), and v_flag:
    1 filled, 2 extrapolated, where the spread exceeds 0.9 of that of the climatology, the nearest reading is farther
    than two e-folding lengths of the correlation or, of a mapped variable, the value is above every prediction of a
    held-out reading. A mapped variable (`fields.quantities`) has v_median, v_p05 and v_p95, too. The attribute
    `comment` holds the report, with scores at held-out stations. On the dimension `station` stand the names and places
    of the stations, the number of steps with a reading of v that is used, v_readings, and station_not_used, which says
    why none is.

    Parameters
    ----------
    stations
        A table as `fields.stations` describes it, the path of one, CSV or Parquet, or a pair of tables: of the
        readings, and of the latitudes and longitudes of their stations. Errors are not used. Readings along tracks
        (`stations.tracks`), of instruments that move, may also be NetCDF.
    resolution
        Degrees between the cells of a regular grid that covers the stations.
    like
        In place of a resolution, a data set whose latitudes and longitudes are used.
    step
        Hours between fields; by default the most frequent interval between readings of a station, whose readings within
        a step are averaged, or a day for tracks.
    quantities
        How each variable is mapped: "auto", which chooses at left-out stations, "none", or "root", "log", "quantiles",
        "circle" or "clip"; for all variables, or for each by its name.
    accept
        Names of gauges that are used although they seem to be in another unit than their neighbours, or "all"; without
        a name, their latitude and longitude, such as "47.1 8.2".
    dem
        Elevations [m] on a grid that covers the result; by default the variable `surface_altitude` of `like`, if it has
        one. Where it helps at left-out stations, a linear dependence on elevation is removed before kriging; the column
        `elevation` of the table has that of the stations.
    covariance
        Parameters of the covariance of anomalies that are given and not fitted: "model=matern32 range=500 time=3 sill=4
        nugget=0.5", or some of these, or a mapping of them, or such by variable. Models are exponential, matern32
        and matern52, range and time their scales [km, steps], sill and nugget in squared units of the variable.
    mask
        A land mask of 0 and 1 that covers the result. Cells of the kind, land or sea, of most stations are kept; the
        others are NaN, with the flag 3.
    columns
        Headings of the table by the name of their column, such as {"time": "Datum"}, where they are others than those
        that are known.
    crs
        Coordinate reference system of x and y in place of latitudes and longitudes, such as "EPSG:25832".
    seed
        Seed of the stations that are held out.
    device
        "auto", "cpu" or "cuda".

    Raises
    ------
    InputError
        Unless either a resolution or a data set is given, for a grid with more than 10^8 values of a variable, for
        tables that cannot be used, and for a mapping that does not fit a variable.
    """
    dataset = None if like is None else as_dataset(like, "like")
    where = f"'{stations}'" if isinstance(stations, str | Path) else TABLE
    relief = None if dem is None else as_dataset(dem, "dem")
    result = grid_and_score(
        stations, resolution, dataset, step, seed, device, where, quantities, columns=columns, crs=crs,
        accept=accept, dem=relief, covariance=covariance, mask=None if mask is None else as_dataset(mask, "mask"),
    )  # fmt: skip
    LOG.info("%s", result.text)
    return result.fields


def grid_and_score(
    stations: Source, resolution: float | None, like: xr.Dataset | None, step: float | None,
    seed: int, device: str, where: str, quantities: str | Mapping[str, str] = AUTO,
    *, columns: Mapping[str, str] | str | None = None, crs: str | None = None,
    accept: str | Sequence[str] | None = None, dem: xr.Dataset | None = None,
    covariance: str | Mapping[str, Any] | None = None, mask: xr.Dataset | None = None,
) -> Result:  # fmt: skip
    """Fields with their scores and report."""
    require_one_grid(resolution, like)
    table = read_stations(stations, where, columns, crs)
    if moves(table):
        not_used = {"accept": accept, "dem": dem, "covariance": covariance, "mask": mask}
        refuse_options_of_stations([name for name, each in not_used.items() if each is not None], where)
        return grid_tracks(table, resolution, like, step, seed, where, quantities)
    possible = Gauges.of_readings(table, step, where, quantities)
    gauges, suspects = without_suspects(possible, accept, where)
    used = stations_of(table, possible, gauges)
    grid = (
        grid_like(like, "like")
        if like is not None
        else covering_grid(gauges.locations, float(resolution or 0))
    )
    check_size(gauges.times, grid)
    land_mask = None if mask is None else LandMask.of(mask, gauges.locations, "mask")
    cells = None if land_mask is None else land_mask.on(grid)
    fixed = {name: fixed_covariance(covariance, name, list(gauges.units)) for name in gauges.units}
    notes = [] if land_mask is None else [land_mask.text(gauges.locations)]
    gauges, altitude, on_elevations = with_relief(gauges, like, dem, grid)
    notes = on_elevations + notes
    results, on = [], choose_device(device)
    with threadpool_limits(1, user_api="blas"):  # the order of sums depends on the number of threads
        chosen, choices = choose_quantities(gauges, quantities, seed, on, where)
        for variable in gauges.units:
            LOG.info("Gridding %s: %d times, %d stations", variable, len(gauges.times), len(gauges.locations))
            of_variable = chosen.get(variable), grid, seed, on, where, altitude, fixed[variable]
            results.append(grid_variable(gauges, variable, *of_variable))
    scores, by_station = (
        pd.concat(tables, ignore_index=True)
        for tables in zip(*(result.scores for result in results), strict=True)
    )
    if by_station.empty:
        by_station = pd.DataFrame(columns=["latitude", "longitude", "variable", *BY_STATION])
    text = "\n".join([report(results, scores, choices), *notes, *suspects, line_of_stations(used)])
    fields = xr.merge([result.fields for result in results], combine_attrs="override")
    if cells is not None:
        fields = in_cells(fields, cells)
    if altitude is not None:
        attrs = {"standard_name": ALTITUDE, "long_name": "elevation of the cells", "units": "m"}
        fields[ALTITUDE] = (GRID, altitude.astype(np.float32), attrs)
    options: dict[str, Any] = {"seed": seed, "stations": len(gauges.locations), **gauges.step.attrs()}
    if chosen:
        options["quantities"] = ", ".join(f"{name}={each.kind}" for name, each in chosen.items())
    fields = with_attributes(fields, {}, "Gridding", MODEL, options)
    keywords = ", ".join(["gridding", "stations", "kriging", *gauges.units])
    summary = SUMMARY.format(", ".join(gauges.units))
    return Result(
        fields.merge(used).assign_attrs(summary=summary, keywords=keywords, comment=text), scores, by_station, text,
        pd.concat([result.variogram for result in results], ignore_index=True),
    )  # fmt: skip


def line_of_stations(used: xr.Dataset) -> str:
    """Numbers of stations and of those not used, and the names of the variables that list them."""
    unused = int((used["station_not_used"] != "").sum())
    but = f", {unused} of them not used for some variable" if unused else ""
    named = (
        "the result lists them (station), the readings of each (v_readings for a variable v) and why one is not used "
        "(station_not_used)"
    )
    return f"{counted(used.sizes['station'], 'station')}{but}: {named}"


def with_relief(
    gauges: Gauges,
    like: xr.Dataset | None,
    dem: xr.Dataset | None,
    grid: Mapping[str, Float[np.ndarray, " n"]],
) -> tuple[Gauges, Float[np.ndarray, "y x"] | None, list[str]]:
    """The gauges with elevations, the elevation of the cells, and what is said about both."""
    relief = None if like is None else Relief.of(like, "like", only_altitude=True)
    relief = relief if dem is None else Relief.of(dem, "dem")
    altitude = None if relief is None else relief.on(grid)
    raised, notes = with_elevations(gauges, relief)
    if relief is None and "elevation" in gauges.locations:
        notes += costs_of_relief(gauges)
    return raised, altitude, notes


def require_one_grid(resolution: float | None, like: xr.Dataset | None) -> None:
    """Raise an InputError unless either a resolution or another grid is given."""
    if (resolution is None) == (like is None):
        which = "neither is" if like is None else "both are"
        raise InputError(
            f"gridding needs either a resolution or the grid of a data set, and {which} given: give --resolution 0.5, "
            "in degrees, or --like FILE (station_fields.resolution or .like; resolution or like in Python)."
        )


def in_cells(fields: xr.Dataset, cells: Bool[np.ndarray, "y x"]) -> xr.Dataset:
    """The fields in some cells; others are NaN and flagged as never observed."""
    kept = xr.DataArray(cells, {axis: fields[axis] for axis in GRID}, GRID)
    return fields.map(
        lambda v: v.where(kept, NEVER if str(v.name).endswith(FLAG) else np.nan).astype(v.dtype),
        keep_attrs=True,
    )


class GriddedVariable(NamedTuple):
    """One variable of a result, with its scores."""

    fields: xr.Dataset
    scores: tuple[pd.DataFrame, pd.DataFrame]
    line: str  # summary of correlation and spread
    places: int  # number of places with a gauge
    variogram: pd.DataFrame


def grid_variable(
    gauges: Gauges, variable: str, quantity: Quantity | None, grid: Mapping[str, Float[np.ndarray, " n"]],
    seed: int, device: torch.device, where: str, altitude: Float[np.ndarray, "y x"] | None = None,
    fixed: Fixed = FREE,
) -> GriddedVariable:  # fmt: skip
    """Grid one variable, and score it at held-out stations if it has enough.

    The clusters are those of its own stations: if they lie together among many of other variables, one cluster of all
    stations would hold all of them.
    """
    record, table = gauges.of(variable)
    cluster, count = None, int(places(record.points).max()) + 1
    if count >= MIN_STATIONS:
        cluster = clusters_of(table, gauges.locations, seed, where)
    parts = [
        Fitted.of(*part, cluster, seed, device, fixed=fixed) for part in mapped_parts(record, table, quantity)
    ]
    units, tables = gauges.units[variable], (pd.DataFrame(columns=COLUMNS), pd.DataFrame())
    if (predictions := parts[0].predictions) is not None:
        warn_of_doubtful(doubtful_readings(quantity, parts, table), len(table))
        if quantity is None:
            tables = predictions.scores(units, seed)
        else:
            tables = own_scores(variable, quantity, parts, table, units, seed)
    fields = on_grid(parts, quantity, gauges, variable, grid, altitude)
    named = list(zip(names_of_parts(variable, quantity), parts, strict=True))
    lines = [summary_line(name, part.kriging, gauges, part.q, cluster is None) for name, part in named]
    for name, part in named:
        of_part = "" if name != variable else units.replace(NO_UNIT, "")
        lines.append(f"{name}: {Parameters.of(part.kriging).text(of_part, fixed)}")
        line = drift_text(name, of_part, part.kriging.climate.surfaces[MEAN].drift, used=True)
        lines += [line] if line else []
    variograms = [variogram(name, part.kriging) for name, part in named]
    lines += lines_of_places(variable, units, parts, quantity)
    return GriddedVariable(fields, tables, "\n".join(lines), count, pd.concat(variograms, ignore_index=True))


def on_grid(
    parts: Sequence[Fitted], quantity: Quantity | None, gauges: Gauges, variable: str,
    grid: Mapping[str, Float[np.ndarray, " n"]], altitude: Float[np.ndarray, "y x"] | None = None,
) -> xr.Dataset:  # fmt: skip
    """Predict a variable on the cells of a grid, in its own units, with the spread of each part multiplied by its q."""
    points = unit_points(grid["latitude"], grid["longitude"])
    shape = len(gauges.times), points.shape[0] * points.shape[1]
    is_mapped = quantity is not None and not isinstance(quantity, Clip)
    names = ("", SPREAD, *QUANTILES) if is_mapped else ("", SPREAD)
    on_cells = {name: np.empty(shape, dtype=np.float32) for name in names}
    flag = np.empty(shape, dtype=np.int8)
    elevation = None if altitude is None else altitude.ravel()
    pieces = (part.kriging.pieces(points.reshape(-1, 3), elevation=elevation) for part in parts)
    for of_parts in zip(*pieces, strict=True):
        piece, predicted = of_parts[0][0], [prediction for _, prediction, _ in of_parts]
        flag[:, piece] = flags(predicted, np.any([near for _, _, near in of_parts], axis=0))
        spreads = [part.spread(each.variance) for part, each in zip(parts, predicted, strict=True)]
        if quantity is None:
            on_cells[""][:, piece], on_cells[SPREAD][:, piece] = predicted[0].mean, spreads[0]
            continue
        mean = np.stack([each.mean for each in predicted])
        moments = in_chunks(quantity, *(x.reshape(len(parts), -1) for x in (mean, np.stack(spreads))))
        for cells, moment in zip(on_cells.values(), moments, strict=False):  # mean and spread come first
            cells[:, piece] = moment.reshape(mean.shape[1:])
        if isinstance(quantity, Clip):  # the spread of a cut distribution is smaller than that of a reading
            least = np.sqrt(parts[0].kriging.within_places)
            on_cells[SPREAD][:, piece] = np.maximum(on_cells[SPREAD][:, piece], least)
        if len(parts) == 1 and not isinstance(quantity, Clip) and (held_out := parts[0].predictions):
            flag[:, piece][mean[0] > held_out.mean[KRIGING].max()] = EXTRAPOLATED
    units = gauges.units[variable]
    attrs: dict[str, dict[str, Any]] = {
        "": {"long_name": variable, "units": units} | ({"quantity": quantity.kind} if quantity else {}),
        SPREAD: {"long_name": f"spread of {variable}", "units": units, "comment": SPREAD_COMMENT},
        FLAG: {"long_name": f"flag of {variable}", **flag_attributes()},
    }
    for name in names[2:]:
        attrs[name] = {"long_name": f"{name[1:]} of {variable}", "units": units}
    times = calendars.in_nanoseconds(gauges.times)
    return xr.Dataset(
        {
            f"{variable}{part}": (("time", *GRID), cells.reshape(shape[0], *points.shape[:2]), attrs[part])
            for part, cells in {**on_cells, FLAG: flag}.items()
        },
        {"time": times, **grid},
    )


def costs_of_relief(gauges: Gauges) -> list[str]:
    """A sentence on each variable that depends on elevation, in its own units, if the cells have none."""
    lines = []
    for variable, units in gauges.units.items():
        record, table = gauges.of(variable)
        if nature(table["value"], variable, units).meaning == "angle" or record.elevation is None:
            continue
        record = record.of(np.isfinite(record.elevation))
        means = np.nanmean(record.x, axis=0)[:, None]
        if len(means) < MIN_STATIONS_OF_DRIFT:
            continue
        surface = Surface.of(record.points, means, None, None, record.elevation)
        if line := drift_text(variable, units.replace(NO_UNIT, ""), surface.drift, used=False):
            LOG.warning("%s.", line)
            lines.append(line)
    return lines


def refuse_options_of_stations(given: Sequence[str], where: str) -> None:
    """Raise an InputError for options that readings along tracks cannot have."""
    if given:
        raise InputError(
            f"{where} holds readings along tracks, and {' and '.join(given)} {'is' if len(given) == 1 else 'are'} for "
            "stations: leave out what does not apply."
        )


def grid_tracks(
    table: pd.DataFrame, resolution: float | None, like: xr.Dataset | None, step: float | None, seed: int, where: str,
    quantities: str | Mapping[str, str],
) -> Result:  # fmt: skip
    """Fields from readings along tracks (`stations.tracks`), at multiples of a step from midnight."""
    table, units = valid_readings(table, where, quantities)
    if mapped := [name for name in units if requested(quantities, name) not in (AUTO, NONE)]:
        raise InputError(
            f"quantities map {', '.join(mapped)}, but readings along tracks are gridded without one: leave it out."
        )
    table = table.assign(longitude=in_one_range(table["longitude"].to_numpy()))
    hours = step_of_stations(table, HOURS_OF_TRACKS if step is None else step, where).hours
    since = table["time"].to_numpy().astype("M8[s]").astype(np.int64) / (3600 * hours)
    number = np.arange(round(float(since.min())), round(float(since.max())) + 1)
    times = (number * round(3600 * hours)).astype("M8[s]")
    locations = table[["latitude", "longitude"]]
    grid = grid_like(like, "like") if like is not None else covering_grid(locations, float(resolution or 0))
    check_size(times, grid)
    fields: list[xr.Dataset] = []
    tables: list[pd.DataFrame] = []
    by_pass: list[pd.DataFrame] = []
    lines: list[str] = []
    for variable, unit in units.items():
        rows = table[table["variable"] == variable].reset_index(drop=True)
        if rows["time"].nunique() < 2:
            raise InputError(
                f"{where} has readings of '{variable}' at 1 time: a field in space and time needs more."
            )
        LOG.info("Gridding %s: %d readings along tracks", variable, len(rows))
        fitted = fit_tracks(rows, variable, seed)
        lines.append(fitted.line)
        if fitted.predictions is not None:
            warn_of_doubtful(fitted.predictions.doubtful_readings(), len(fitted.predictions.table))
            for each, part in zip((tables, by_pass), fitted.predictions.scores(unit, seed), strict=True):
                each.append(part)
        fields.append(tracks_on_grid(fitted, variable, unit, times, grid))
    scores = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    by_station = (
        pd.concat(by_pass, ignore_index=True)
        if by_pass
        else pd.DataFrame(columns=["latitude", "longitude", "variable", *BY_STATION])
    )
    text = "\n".join(lines)
    text = f"{as_text(scores, 'readings at held-out passes')}\n\n{text}" if len(scores) else text
    options: dict[str, Any] = {"seed": seed, **TimeStep(hours).attrs()}
    result = with_attributes(
        xr.merge(fields, combine_attrs="override"), {}, "Gridding", MODEL_OF_TRACKS, options
    )
    keywords = ", ".join(["gridding", "tracks", "kriging", *units])
    summary = SUMMARY.format(", ".join(units)).replace("stations alone", "readings along tracks alone")
    return Result(
        result.assign_attrs(summary=summary, keywords=keywords, comment=text),
        scores,
        by_station,
        text,
        pd.DataFrame(columns=OF_VARIOGRAM),
    )


def tracks_on_grid(
    fitted: FittedTracks,
    variable: str,
    units: str,
    times: np.ndarray,
    grid: Mapping[str, Float[np.ndarray, " n"]],
) -> xr.Dataset:
    """Predict a variable on the cells of a grid, with its spread and flag."""
    points = unit_points(grid["latitude"], grid["longitude"])
    shape, cells = (len(times), *points.shape[:2]), points.reshape(-1, 3)
    values, spread = np.empty((2, len(times), len(cells)), dtype=np.float32)
    flag = np.empty((len(times), len(cells)), dtype=np.int8)
    kriging, zeros = fitted.kriging, np.zeros(len(cells))
    climatological = kriging.signal + kriging.bias + kriging.error
    phase = 2 * np.pi * calendars.fraction_of_year(times)
    for number, hour in enumerate(times.astype(np.int64) / 3600.0):
        target = Readings(cells, zeros + hour, zeros + phase[number], zeros.astype(int), zeros, zeros + 1)
        mean, variance, distance = kriging.at(target)
        values[number], spread[number] = mean, fitted.q * np.sqrt(variance)
        far = (variance > MAX_SPREAD_SHARE**2 * climatological) | (distance > MAX_LENGTHS)
        flag[number] = np.where(far, EXTRAPOLATED, FILLED)
    arrays: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "": (values, {"long_name": variable, "units": units}),
        SPREAD: (spread, {"long_name": f"spread of {variable}", "units": units, "comment": SPREAD_OF_TRACKS}),
        FLAG: (flag, {"long_name": f"flag of {variable}", **flag_attributes()}),
    }
    return xr.Dataset(
        {
            f"{variable}{part}": (("time", *GRID), x.reshape(shape), attrs)
            for part, (x, attrs) in arrays.items()
        },
        {"time": calendars.in_nanoseconds(times), **grid},
    )


def check_size(at: np.ndarray, grid: Mapping[str, Float[np.ndarray, " n"]]) -> None:
    """Raise an InputError for a grid with too many values at some times."""
    rows, columns, times = len(grid["latitude"]), len(grid["longitude"]), len(at)
    if rows * columns * times > MAX_VALUES:
        raise InputError(
            f"the grid has {rows} x {columns} cells at {times} times, {rows * columns * times:.2g} values of a "
            f"variable, more than the {MAX_VALUES:.0e} that a run can grid: give a coarser resolution, or a part of "
            "the table."
        )


def warn_of_doubtful(doubtful: pd.DataFrame, readings: int) -> None:
    """Log the readings that are far from their predictions by other stations; they stay in use."""
    if len(doubtful):
        texts = [
            f"{observation_text(row)}: {row['value']:.5g} instead of about {row['predicted']:.5g}"
            for row in doubtful.head(MAX_LISTED).to_dict("records")
        ]
        LOG.warning(
            "%d of %d readings are more than %g spreads from the prediction by stations outside their cluster, "
            "and are still used: %s; check them.",
            len(doubtful), readings, MAX_INNOVATION, listed(texts, len(doubtful)),
        )  # fmt: skip


def summary_line(variable: str, kriging: StationKriging, gauges: Gauges, q: float, unscored: bool) -> str:
    """Correlation of a variable, and how its spread was derived."""
    steps = f"{kriging.e_folding_time:.3g}"
    steps += " step" if steps == "1" else " steps"
    spread_text = (
        "from the kriging, not rescaled"
        if unscored
        else f"multiplied by {q:.3g}, so that it is right at held-out stations"
    )
    cycle = (
        "an annual cycle"
        if kriging.record.seasonal
        else "a slow course that all stations share (less than two years)"
    )
    return (
        f"{variable}: correlation 1/e at {great_circle_km(kriging.length):.0f} km and at {steps} of {gauges.step}; "
        f"{float(kriging.model.correlation.nugget):.0%} of the variance of anomalies is peculiar to each reading; "
        f"{cycle}; spread {spread_text}"
    )


def lines_of_places(
    variable: str, units: str, parts: Sequence[Fitted], quantity: Quantity | None
) -> list[str]:
    """Number of gauges that share a place, and what their differences say about each reading; none if none do."""
    place = places(parts[0].kriging.record.points)
    several = np.bincount(place)[np.bincount(place) > 1]
    if not len(several):
        return []
    line = f"{variable}: {several.sum()} of {len(place)} gauges share {counted(len(several), 'place')}"
    deviations = np.sqrt([part.kriging.within_places for part in parts])
    if not deviations.any():
        return [f"{line} (gauges within 100 m), without simultaneous readings that differ"]
    mapped = quantity is not None and not isinstance(quantity, Clip)
    of_what = f"of values mapped by {quantity.kind}" if mapped and quantity else units.replace(NO_UNIT, "")
    texts = " and ".join(f"{deviation:.3g}" for deviation in deviations)
    return [
        f"{line} (gauges within 100 m): the root of half the mean squared difference of two readings there is "
        f"{texts} {of_what}".rstrip()
        + ", and no spread is smaller"
    ]


def report(variables: list[GriddedVariable], scores: pd.DataFrame, choices: pd.DataFrame) -> str:
    """Scores at held-out stations, those by which quantities were chosen, and a line for each variable."""
    lines = "\n".join(variable.line for variable in variables)
    if len(choices):
        lines = f"{as_lines(choices)}\n\n{lines}"
    if scores.empty:
        stations = max(variable.places for variable in variables)
        few = f"holding stations out requires at least {MIN_STATIONS} places of a variable, and there are {stations}"
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
