"""Scores of gridded forecasts at stations, whose readings are the truth.

    y - b (elevation - H z)   beside   H x_m + e_m,    e_m ~ N(0, error^2 + r^2),

with the members x_m, H bilinear (`fields.bilinear`), the stated error of a reading and its error of representativeness
r, since a cell is smoother than its stations: without them even a perfect ensemble lacks spread (Candille and Talagrand
2008). Heights count where a variable depends on them: z are the elevations of the cells, and b is the slope of the
stations' means (`surfaces.Drift`). Errors of the member mean are those of H x; the spread and the CRPS have e, too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from fieldcast import calendars
from fieldcast.calendars import MONTH, TimeStep, lead_label, most_common
from fieldcast.errors import InputError, counted
from fieldcast.fields.bilinear import Stencil, stencil
from fieldcast.fields.encoding import Encoding
from fieldcast.fields.gauges import in_range, nature
from fieldcast.fields.meaning import Nature
from fieldcast.fields.quantities import Circle, near
from fieldcast.fields.stations import DEFAULT_NAME, Source, converted, read_stations
from fieldcast.geometry import GRID, counted_from, unit_points
from fieldcast.inference.forecasts.external import refuse_fills, refuse_twice, search_for_fills, to_forecasts
from fieldcast.inference.stations.elevation import Relief
from fieldcast.inference.stations.observations import Representativeness, check_representativeness
from fieldcast.inference.stations.surfaces import MIN_STATIONS, MIN_STATIONS_OF_DRIFT, Surface
from fieldcast.kinds import LEAD, MEMBER, START
from fieldcast.lineage import digest
from fieldcast.scores.held_out import mean_scores
from fieldcast.scores.leaderboard import FORECAST, leaderboard
from fieldcast.scores.regions import STATIONS
from fieldcast.scores.statistics import OF_CELLS, POWER, cell_statistics, fair_crps, with_overall
from fieldcast.scores.statistics_table import long_table, name_rows, with_origin
from fieldcast.scores.summary import blocks, leads_to_show

LOG = logging.getLogger(__name__)
NanPolicy: TypeAlias = Literal["raise", "omit", "propagate"]  # the words of scoringrules
PLACE = ["latitude", "longitude", "station"]
WHERE = "the forecasts"
# standard deviations of the forecasts beyond which half of the readings are in another unit
MAX_DEVIATIONS = 10.0
MIN_STARTS = 10  # number of starts below which no error of representativeness is estimated
MAX_STARTS = 200  # number of starts that it is estimated from
MAX_STATIONS = 5000  # number of stations above which it is not estimated, as for readings along tracks
# shares of the starts at which a station may have a reading to be used for it
SHARES = 1.0, 0.95, 0.9, 0.8, 0.6
VALUES_AT_ONCE = 10**8  # values of forecasts that are in memory together


class Verified(NamedTuple):
    """Scores of forecasts at stations."""

    board: pd.DataFrame  # in the columns of the leaderboard
    by_station: pd.DataFrame  # lead_hours, variable, place, observations, crps, rmse, bias
    units: Mapping[str, str]  # of each variable
    sentences: list[str]  # on readings, elevations and errors
    step: TimeStep  # of leads


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Forecasts with ascending longitudes, and when they are valid.

    Parameters
    ----------
    data
        Dims (lead, start, member, latitude, longitude), lazy.
    valid
        Valid times in the standard calendar; monthly ones are the first days of months.
    step
        The smallest distance between valid times of a start.
    """

    data: xr.Dataset
    valid: np.ndarray  # (lead, start)
    step: TimeStep

    @classmethod
    def of(cls, draws: xr.Dataset) -> Forecasts:
        """Any forecasts, checked; leads that are whole months of 730 hours are months."""
        given = to_forecasts(draws, WHERE)
        if min(given.sizes[axis] for axis in GRID) < 2:
            raise InputError(
                f"the grid of {WHERE} has {given.sizes['latitude']} x {given.sizes['longitude']} cells: readings "
                "between cells need at least two rows and two columns."
            )
        refuse_twice(given[START], "start", WHERE)
        west = float(given["longitude"].min())
        given = given.assign_coords(longitude=counted_from(given["longitude"].to_numpy(), west))
        given = given.sortby("longitude").sortby(LEAD)
        leads, starts = given[LEAD].to_numpy(), given[START].to_numpy()
        if monthly := bool((np.mod(leads, MONTH) == 0).all() and leads.any()):
            month = TimeStep(MONTH, 1)
            valid = [month.after(starts, int(number)) for number in np.rint(leads / MONTH)]
        else:
            valid = [calendars.later(starts, float(lead)) for lead in leads]
        times = np.stack([calendars.from_iso(calendars.iso(each)) for each in valid])
        if monthly:
            return cls(given, times.astype("M8[M]").astype("M8[s]"), TimeStep(MONTH, 1))
        spacing = np.diff(leads) if len(leads) > 1 else np.diff(np.unique(times[0])) / np.timedelta64(1, "h")
        return cls(given, times, TimeStep(float(most_common(spacing)) if len(spacing) else 24.0))

    def pieces(self, name: str, lead: int) -> Iterator[tuple[int, Float[np.ndarray, "member cell"]]]:
        """Yield each start with the members of a lead, some starts at a time."""
        x = self.data[name].isel({LEAD: lead}, drop=True).transpose(START, MEMBER, *GRID)
        count = max(1, VALUES_AT_ONCE // (x.size // len(x)))
        for first in range(0, len(x), count):
            piece = x.isel({START: slice(first, first + count)}).load()
            values = Encoding.of(piece).masked(piece).to_numpy().astype(float)
            for number, members in enumerate(values, start=first):
                yield number, members.reshape(len(members), -1)

    def first(self, name: str) -> tuple[int, Bool[np.ndarray, " cell"], float]:
        """The first lead with values, the cells that have some there, and their standard deviation."""
        for lead in range(len(self.valid)):
            exists = np.zeros(self.data.sizes["latitude"] * self.data.sizes["longitude"], dtype=bool)
            sums = np.zeros(3)
            for _, x in self.pieces(name, lead):
                finite = np.isfinite(x)
                exists |= finite.any(0)
                sums += finite.sum(), x[finite].sum(), np.square(x[finite]).sum()
            if exists.any():
                mean = sums[1] / sums[0]
                return lead, exists, float(np.sqrt(max(0.0, sums[2] / sums[0] - mean**2)))
        raise InputError(f"variable '{name}' of {WHERE} has no value: choose other forecasts.")


@dataclass(frozen=True, eq=False)
class Readings:
    """Readings of one variable at times at which forecasts are valid.

    Parameters
    ----------
    table
        A row for each.
    valid
        Its valid time.
    y, error
        Values [units of the forecasts], at the elevation of the cells, and the standard deviations of their errors.
    at
        Cells and weights of H.
    station
        Number of the station of each.
    nature
        Meaning of the numbers.
    first
        The first lead with values.
    """

    table: pd.DataFrame
    valid: np.ndarray
    y: Float[np.ndarray, " reading"]
    error: Float[np.ndarray, " reading"]
    at: Stencil
    station: Int[np.ndarray, " reading"]
    nature: Nature
    first: int

    @property
    def deviation(self) -> float:
        """Standard deviation of the readings about the means of their stations, or about their mean if each has one."""
        x, several = pd.Series(self.y), len(self.y) > self.station.max() + 1
        means = x.groupby(self.station).transform("mean") if several else x.mean()
        return float(np.sqrt(np.square(x - means).mean())) or 1.0

    def predicted(
        self, x: Float[np.ndarray, "member cell"], rows: Int[np.ndarray, " reading"]
    ) -> Float[np.ndarray, "member reading"]:
        """H x of some readings; angles are interpolated on the circle, and lie within half of it from the reading."""
        weights, corners = self.at.weights[rows], x[:, self.at.cells[rows]]
        heaviest = weights.argmax(1)[None, :, None]
        corners = self.near(
            corners, np.take_along_axis(corners, np.broadcast_to(heaviest, (len(x), len(rows), 1)), 2)
        )
        return self.near((np.where(weights > 0, corners, 0.0) * weights).sum(-1), self.y[rows])

    def near(
        self, x: Float[np.ndarray, "..."], reference: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "..."]:
        """Angles within half a circle of a reference; other values are unchanged."""
        circle = self.nature.fit(Circle.kind, self.y) if self.nature.meaning == "angle" else None
        return near(circle, x, reference)

    def statistics(
        self, predicted: Float[np.ndarray, "member reading"], rows: Int[np.ndarray, " reading"],
        rng: np.random.Generator,
    ) -> dict[str, Float[np.ndarray, " reading"]]:  # fmt: skip
        """Statistics of some readings: errors of the member mean without their errors, spread and CRPS with them.

        Members of a quantity that cannot be negative, or is bounded, stay within its range.
        """
        y, error = self.y[rows], self.error[rows]
        statistics = {each: x for each, x in cell_statistics(predicted, y).items() if each in OF_CELLS}
        if len(predicted) == 1 or not error.any():
            return statistics
        drawn = predicted + error * rng.standard_normal(predicted.shape)
        statistics["variance"] = statistics["variance"] + error**2
        if self.nature.meaning in ("positive", "bounded") and self.nature.known:
            drawn = np.clip(drawn, self.nature.low, self.nature.high)
            statistics["variance"] = drawn.var(0, ddof=1)
        return statistics | {"crps": fair_crps(self.near(drawn, y), y)}


def score_at_stations(
    stations: Source, draws: xr.Dataset, *, name: str = "user", representativeness: Representativeness = None,
    dem: xr.Dataset | None = None, columns: Mapping[str, str] | str | None = None, crs: str | None = None,
    nan_policy: NanPolicy = "raise", seed: int = 0, where: str = DEFAULT_NAME,
) -> Verified:  # fmt: skip
    """Scores of forecasts at stations, as `fieldcast.score` describes them."""
    check_representativeness(representativeness)
    forecasts = Forecasts.of(draws)
    table = read_stations(stations, where, columns, crs)
    relief = Relief.of(dem, "the elevation model") if dem is not None else Relief.of(draws, WHERE, True)
    shared = [v for v in map(str, forecasts.data.data_vars) if v in set(table["variable"])]
    if not shared:
        raise InputError(
            f"{where} has readings of {', '.join(table['variable'].unique())}, but the forecasts have "
            f"{', '.join(map(str, forecasts.data.data_vars))}: name variables of the table as those of the forecasts."
        )
    given = representativeness
    by_name = given if isinstance(given, Mapping) else dict.fromkeys(shared, given)
    if unknown := sorted(set(by_name) - set(shared)):
        raise InputError(
            f"representativeness names {', '.join(unknown)}, but {', '.join(shared)} are scored."
        )
    sentences: list[str] = []
    readings = {
        v: readings_of(v, table[table["variable"] == v], forecasts, relief, by_name.get(v), where, sentences)
        for v in shared
    }
    statistics, by_station = station_statistics(forecasts, readings, nan_policy, seed, sentences)
    labelled = with_origin(statistics, seed, digest(table.to_csv(index=False)), name, forecasts.step)
    data = str(labelled["data_digest"].iloc[0])
    board = leaderboard({name: name_rows(labelled, name)}, data, name, seed=seed, layout=FORECAST)
    units = {v: str(forecasts.data[v].attrs.get("units") or "1") for v in shared}
    return Verified(board, by_station, units, sentences, forecasts.step)


def readings_of(
    name: str, table: pd.DataFrame, forecasts: Forecasts, relief: Relief | None, stated: float | None, where: str,
    sentences: list[str],
) -> Readings:  # fmt: skip
    """Readings of a variable on the grid and at valid times, at the elevation of the cells, with all their errors."""
    data = forecasts.data[name]
    units = str(data.attrs.get("units") or "1")
    table = in_range(
        converted(table, {name: units}, where, "the unit of the forecasts"), {name: units}, where
    )
    first, exists, spread = forecasts.first(name)
    y, x = (data[axis].to_numpy() for axis in GRID)
    location = table["latitude"].to_numpy(float), table["longitude"].to_numpy(float)
    at = stencil(y, x, exists.reshape(len(y), len(x)), *location)
    kept, valid = used_readings(name, table, at, forecasts, where, sentences)
    table = table.iloc[kept].reset_index(drop=True)
    values = table["value"].to_numpy(float)
    truth = xr.DataArray(values, dims="reading")
    piece = data.isel({LEAD: [first]}).transpose(LEAD, START, MEMBER, *GRID)
    refuse_fills(piece.isel({START: slice(MIN_STARTS)}).load(), search_for_fills(data, truth), False, WHERE)
    error = table["error"].to_numpy(float) if "error" in table else np.zeros(len(table))
    readings = Readings(
        table, valid, values, error, Stencil(at.cells[kept], at.weights[kept]),
        table.groupby([column for column in PLACE if column in table], dropna=False, sort=False).ngroup().to_numpy(),
        nature(table["value"], name, units), first,
    )  # fmt: skip
    readings = at_elevation_of_cells(name, readings, data, relief, sentences)
    start, rows, errors = errors_of_mean(name, readings, forecasts)
    if (
        len(errors)
        and spread > 0
        and readings.nature.meaning != "angle"
        and (median := float(np.nanmedian(np.abs(errors)))) > MAX_DEVIATIONS * spread
    ):
        raise InputError(
            f"half of the readings of '{name}' in {where} are more than {median / spread:.3g} standard deviations of "
            f"the forecasts from these: check that they are in {units}, or add a column 'units' to the table."
        )
    if stated is not None or data.sizes[MEMBER] == 1:
        return replace(readings, error=np.hypot(readings.error, stated or 0.0))
    total = local_variance(readings, start, rows, errors, y)
    if total is None:
        sentences.append(
            f"{name}: no error of representativeness was added, because the stations are too few or too far apart for "
            "an estimate: give `representativeness`"
        )
        return readings
    variance = max(0.0, total - float(np.square(readings.error).mean()))
    sentences.append(
        f"{name}: an error of representativeness of {np.sqrt(variance):.3g} {units} was added to the members, "
        "estimated from differences between the errors of neighbouring stations"
    )
    return replace(readings, error=np.hypot(readings.error, np.sqrt(variance)))


def used_readings(
    name: str, table: pd.DataFrame, at: Stencil, forecasts: Forecasts, where: str, sentences: list[str]
) -> tuple[Int[np.ndarray, " used"], np.ndarray]:
    """Rows of the readings on the grid and at valid times, and these times; a sentence says which are not used."""
    valid, away = nearest_valid(table, forecasts)
    on_grid, timely = at.weights.sum(1) > 0, ~np.isnat(valid)
    left_out = {"outside the grid of the forecasts": ~on_grid, "at other times": on_grid & ~timely}
    for reason, rows in left_out.items():
        if rows.any():
            sentences.append(
                f"{name}: {int(rows.sum())} of {len(table)} readings are {reason} and were left out"
            )
    kept = np.flatnonzero(on_grid & timely)
    if not len(kept):
        raise InputError(
            f"{where} has no reading of '{name}' on the grid of the forecasts when one is valid (the first: "
            f"{forecasts.valid.min()}): check locations and times."
        )
    if (hours := float(away[kept].max())) > 0 and not forecasts.step.months:
        sentences.append(
            f"{name}: readings count at the nearest time of a forecast, up to {hours:.3g} h away"
        )
    return kept, valid[kept]


def nearest_valid(
    table: pd.DataFrame, forecasts: Forecasts
) -> tuple[np.ndarray, Float[np.ndarray, " reading"]]:
    """The nearest valid time of each reading, or NaT, and the hours between them; for monthly forecasts its month.

    At most half a step of the station or of the forecasts lies between them, whichever is shorter; of several readings
    of a station at one valid time the nearest counts.
    """
    times, read = np.unique(forecasts.valid), table["time"].to_numpy().astype("M8[s]")
    place = [column for column in PLACE if column in table]
    if forecasts.step.months:
        months = read.astype("M8[M]").astype("M8[s]")
        index = np.where(np.isin(months, times), np.searchsorted(times, months), -1)
        away = np.abs((read - months) / np.timedelta64(1, "h"))
    else:
        index = np.asarray(pd.DatetimeIndex(times).get_indexer(pd.DatetimeIndex(read), method="nearest"))
        away = np.abs((read - times[index]) / np.timedelta64(1, "h"))
        spacing = table.assign(time=read).sort_values("time").groupby(place, dropna=False)["time"].diff()
        hours = spacing[spacing > pd.Timedelta(0)] / pd.Timedelta(hours=1)
        steps = [forecasts.step.hours, *([float(most_common(hours.to_numpy()))] if len(hours) else [])]
        index = np.where(away > min(steps) / 2, -1, index)
    order = np.argsort(away, kind="stable")
    later = table.assign(valid=index).iloc[order].duplicated([*place, "valid"]).to_numpy()
    index[order[later]] = -1
    return np.where(index < 0, np.datetime64("NaT", "s"), times[index]), away


def at_elevation_of_cells(
    name: str, readings: Readings, data: xr.DataArray, relief: Relief | None, sentences: list[str]
) -> Readings:
    """Readings as they would be at the elevation of the cells, where the elevation of stations is known and helps."""
    table = readings.table
    if "elevation" not in table or readings.nature.meaning == "angle":
        return readings
    places = table.assign(y=readings.y, station=readings.station).dropna(subset="elevation")
    means = places.groupby("station")[["latitude", "longitude", "elevation", "y"]].mean()
    if len(means) < MIN_STATIONS_OF_DRIFT:
        return readings
    points = np.concatenate([unit_points([row.latitude], [row.longitude])[0] for row in means.itertuples()])
    drift = Surface.of(
        points, means[["y"]].to_numpy(float), None, None, means["elevation"].to_numpy(float)
    ).drift
    if drift is None or not drift.helpful:
        return readings
    units = str(data.attrs.get("units") or "")
    rate = (
        f"{float(drift.slope[0]):+.3g} ± {float(np.sqrt(drift.variance[0])):.2g} {units} per km of elevation"
    )
    if relief is None:
        sentences.append(
            f"{name}: {rate}; readings were not brought to the elevation of the cells, which is unknown: give "
            "--dem FILE (dem in Python)"
        )
        return readings
    sentences.append(f"{name}: {rate}, by which readings were brought to the elevation of the cells")
    above = table["elevation"].to_numpy(float) - elevation_of_cells(readings.at, data, relief)
    return replace(readings, y=readings.y - float(drift.slope[0]) * np.nan_to_num(above) / 1000.0)


def elevation_of_cells(at: Stencil, data: xr.DataArray, relief: Relief) -> Float[np.ndarray, " reading"]:
    """H z; only the part of the grid with readings needs elevations."""
    y, x = (data[axis].to_numpy() for axis in GRID)
    row, column = np.divmod(at.cells, len(x))
    weighed = at.weights > 0
    rows, columns = (
        slice(max(0, min(int(each[weighed].min()), size - 2)), max(int(each[weighed].max()), 1) + 1)
        for each, size in ((row, len(y)), (column, len(x)))
    )
    part = relief.on({"latitude": y[rows], "longitude": x[columns]})
    cells = np.zeros((len(y), len(x)))
    cells[rows, columns] = part
    return (cells.ravel()[at.cells] * at.weights).sum(1)


def of_starts(name: str, readings: Readings, forecasts: Forecasts, lead: int) -> Iterator[
    tuple[int, Float[np.ndarray, "member reading"], Int[np.ndarray, " reading"]]
]:  # fmt: skip
    """Yield each start with readings at a lead: its number, the predicted readings, and which they are."""
    order = np.argsort(readings.valid, kind="stable")
    times = readings.valid[order]
    for start, x in forecasts.pieces(name, lead):
        first, last = (
            np.searchsorted(times, forecasts.valid[lead, start], "left"),
            np.searchsorted(times, forecasts.valid[lead, start], "right"),
        )
        if last > first:
            rows = np.sort(order[first:last])
            yield start, readings.predicted(x, rows), rows


def errors_of_mean(
    name: str, readings: Readings, forecasts: Forecasts
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Start, reading and error of the member mean at the first lead with values."""
    parts = [
        (np.full(len(rows), start), rows, np.nanmean(x, axis=0) - readings.y[rows])
        for start, x, rows in of_starts(name, readings, forecasts, readings.first)
        if np.isfinite(x).any()
    ]
    if not parts:
        return np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0)
    start, rows, errors = (np.concatenate(each) for each in zip(*parts, strict=True))
    return start, rows, errors


def local_variance(
    readings: Readings, start: Int[np.ndarray, " n"], rows: Int[np.ndarray, " n"], errors: Float[np.ndarray, " n"],
    latitude: Float[np.ndarray, " y"],
) -> float | None:  # fmt: skip
    """Variance of the errors of forecasts of the first lead that neighbouring stations do not share.

    It is the nugget of the errors of the member mean (`surfaces.Surface`), whose own errors are interpolated between
    cells and thus alike at stations of one cell. None unless enough stations have a neighbour within a cell.
    """
    count = int(readings.station.max()) + 1
    if count > MAX_STATIONS or not len(start):
        return None
    matrix = np.full((int(start.max()) + 1, count), np.nan)
    matrix[start, readings.station[rows]] = errors
    matrix = matrix[np.isfinite(matrix).any(1)]
    present, parts = np.isfinite(matrix), []
    for share in SHARES:
        columns = np.flatnonzero(present.mean(0) >= share)
        whole = np.flatnonzero(present[:, columns].all(1))
        if len(columns) >= MIN_STATIONS and len(whole) >= MIN_STARTS:
            parts.append((len(whole) * len(columns), whole, columns))
    if not parts:
        return None
    _, whole, columns = max(parts, key=lambda part: part[0])
    whole = whole[np.unique(np.linspace(0, len(whole) - 1, MAX_STARTS).round().astype(int))]
    _, one = np.unique(readings.station, return_index=True)
    places = readings.table.iloc[one[columns]]
    points = np.concatenate([unit_points([row.latitude], [row.longitude])[0] for row in places.itertuples()])
    cell = np.radians(np.median(np.abs(np.diff(latitude))))
    nearest = cKDTree(points).query(points, 2)[0][:, 1]
    if (nearest < cell).sum() < MIN_STATIONS:
        return None
    surface = Surface.without_drift(points, matrix[np.ix_(whole, columns)].T, None, None)
    return float(surface.kernel.k2.noise_level * np.square(surface.scale).mean()) if surface.kernel else None


def station_statistics(
    forecasts: Forecasts,
    readings: Mapping[str, Readings],
    nan_policy: NanPolicy,
    seed: int,
    sentences: list[str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Statistics of forecasts, means over the readings of a start and a lead, as a tidy table; and scores by station.

    The variable "all" is the mean over variables in standard deviations of their readings about the mean of a station,
    where all variables have readings. A start and lead at which all members are missing has no score.
    """
    leads, starts = forecasts.data[LEAD].to_numpy(), calendars.iso(forecasts.data[START])
    seconds = calendars.from_iso(starts).astype("M8[s]").astype(int)
    values = np.full((len(leads), len(readings), len(OF_CELLS), len(starts)), np.nan)
    tables, absent = [], 0
    for v, (name, given) in enumerate(readings.items()):
        for lead in range(len(leads)):
            sums = np.zeros((len(OF_CELLS) + 1, int(given.station.max()) + 1))
            for start, predicted, rows in of_starts(name, given, forecasts, lead):
                missing = np.isnan(predicted).any(1)
                if np.isnan(predicted).all():
                    absent += 1
                    continue
                x = predicted
                if missing.any() and nan_policy != "propagate":
                    x = without_members(x, missing, nan_policy, name, float(leads[lead]), str(starts[start]))
                rng = np.random.default_rng([seed, v, lead, int(seconds[start]) % 2**32])
                statistics = given.statistics(x, rows, rng)
                finite = np.isfinite(statistics["error"])
                means = [np.mean(statistics[each]) for each in OF_CELLS]
                values[lead, v, :, start] = means if finite.all() else np.inf
                stacked = np.stack([*(statistics[each] for each in OF_CELLS), np.ones(len(rows))])[:, finite]
                for number, row in enumerate(stacked):
                    np.add.at(sums[number], given.station[rows[finite]], row)
            tables.append(by_station(given, sums, float(leads[lead]), name))
    if absent:
        sentences.append(f"{counted(absent, 'pair')} of start and lead without any member have no score")
    if (
        len(readings) > 1
        and (lacking := np.isnan(values[:, :, 0]).any(1) & ~np.isnan(values[:, :, 0]).all(1)).any()
    ):
        sentences.append(
            f"all: without {counted(int(lacking.sum()), 'pair')} of start and lead at which only some variables have "
            "readings"
        )
    power = np.array([POWER[each] for each in OF_CELLS])[:, None]
    values = with_overall(values, np.array([each.deviation for each in readings.values()]), power, axis=1)
    axes = {
        "lead_hours": leads,
        "region": [STATIONS],
        "variable": [*readings, "all"],
        "statistic": OF_CELLS,
    }
    axes |= {"time": starts}
    table = long_table(values[:, None], *({key: np.asarray(axis)} for key, axis in axes.items()))
    return table, pd.concat(tables, ignore_index=True)


def without_members(
    x: Float[np.ndarray, "member reading"], missing: Bool[np.ndarray, " member"], nan_policy: NanPolicy, name: str,
    lead: float, start: str,
) -> Float[np.ndarray, "complete reading"]:  # fmt: skip
    """Predicted readings without the members that are NaN at some of them; refused by the policy "raise"."""
    member = int(missing.argmax())
    place = f"member {member}, counted from 0, of '{name}' at the start {start} and a lead of {lead:g} h"
    if nan_policy == "raise":
        raise InputError(
            f"{place} is NaN at a station: correct it, or score without such members by --nan-policy omit "
            "(nan_policy='omit' in Python)."
        )
    if missing.all():
        raise InputError(f"{place}, like all others, is NaN at a station: leave that start out.")
    return x[~missing]


def by_station(
    readings: Readings, sums: Float[np.ndarray, "statistic station"], lead: float, name: str
) -> pd.DataFrame:
    """Scores of a lead and variable at each station with readings."""
    *_, count = sums
    scored = np.flatnonzero(count)
    means = dict(zip(OF_CELLS, sums[:-1, scored] / count[scored], strict=True))
    scores = mean_scores({"crps": means["crps"], "square": means["squared_error"], "error": means["error"]})
    _, one = np.unique(readings.station, return_index=True)
    places = readings.table.iloc[one[scored]][[column for column in PLACE if column in readings.table]]
    places = places.reset_index(drop=True).assign(observations=count[scored].astype(int), **scores)
    places.insert(0, "variable", name)
    places.insert(0, "lead_hours", lead)
    return places


def summary(verified: Verified) -> str:
    """Scores of each variable in its units by lead, and sentences on readings."""
    lines = []
    for name, units in verified.units.items():
        table = verified.board[verified.board["variable"] == name]
        levels = {lead: lead_label(lead) for lead in leads_to_show(table)}
        lines += [
            f"Forecasts of {name} at stations; {units}",
            *blocks(table, "lead_hours", levels, FORECAST),
            "",
        ]
    return "\n".join([*lines, *(f"{sentence}." for sentence in verified.sentences)])
