"""Scores of gridded forecasts at stations, whose readings are the truth.

    y - b (elevation - H z)   beside   H x_m + e_m,    e_m ~ N(0, error^2 + r^2),

with the members x_m, H bilinear (`fields.bilinear`), the stated error of a reading and its error of representativeness
r, since a cell is smoother than its stations: without them even a perfect ensemble lacks spread (Candille and Talagrand
2008). Heights count where a variable depends on them: z are the elevations of the cells, and b is the slope of the
stations' means (`surfaces.Drift`). Errors of the member mean are those of H x̄; the spread and the CRPS have e, too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from fieldcast import calendars
from fieldcast.calendars import lead_label, most_common
from fieldcast.errors import InputError
from fieldcast.fields.bilinear import Stencil, stencil
from fieldcast.fields.gauges import in_range, nature
from fieldcast.fields.quantities import Circle, Nature, near
from fieldcast.fields.stations import DEFAULT_NAME, Source, converted, read_stations
from fieldcast.geometry import GRID, unit_points
from fieldcast.inference.forecasts.external import to_forecasts
from fieldcast.inference.stations.elevation import Relief, drift_text
from fieldcast.inference.stations.observations import Representativeness, check_representativeness
from fieldcast.inference.stations.surfaces import MIN_STATIONS, MIN_STATIONS_OF_DRIFT, Surface
from fieldcast.kinds import LEAD, MEMBER, START
from fieldcast.lineage import digest
from fieldcast.scores.alignment import NanPolicy, complete_parts, in_order
from fieldcast.scores.held_out import scores_by_group
from fieldcast.scores.leaderboard import FORECAST, leaderboard
from fieldcast.scores.regions import STATIONS
from fieldcast.scores.statistics import POWER, cell_statistics, fair_crps, with_overall
from fieldcast.scores.statistics_table import long_table, name_rows, with_origin
from fieldcast.scores.summary import blocks, leads_to_show

LOG = logging.getLogger(__name__)
STATISTICS = ("error", "absolute_error", "squared_error", "crps", "variance", "debiased_squared_error")
PLACE = ["latitude", "longitude", "station"]
MAX_DEVIATIONS = (
    10.0  # standard deviations of the forecasts beyond which half of the readings are in another unit
)
MIN_STARTS = 10  # number of starts below which no error of representativeness is estimated
MAX_STARTS = 200  # number of starts that it is estimated from
SHARES = (
    1.0,
    0.95,
    0.9,
    0.8,
    0.6,
)  # shares of the starts at which a station may have a reading to be used for it


class Verified(NamedTuple):
    """Scores of forecasts at stations."""

    board: pd.DataFrame  # in the columns of the leaderboard
    by_station: pd.DataFrame  # by lead, variable and station, as `held_out.scores_by_group` has them
    units: Mapping[str, str]  # of each variable
    sentences: list[str]  # on readings, elevations and errors


@dataclass(frozen=True, eq=False)
class Readings:
    """Readings of one variable at times at which forecasts are valid.

    Parameters
    ----------
    table
        A row for each; `valid` is the index of its time among `times`.
    y, error
        Values [units of the forecasts], at the elevation of the cells, and the standard deviations of their errors.
    at
        Cells and weights of H.
    station
        Number of the station of each.
    times
        The times at which forecasts are valid.
    nature
        Meaning of the numbers.
    """

    table: pd.DataFrame
    y: Float[np.ndarray, " reading"]
    error: Float[np.ndarray, " reading"]
    at: Stencil
    station: Int[np.ndarray, " reading"]
    times: pd.DatetimeIndex
    nature: Nature

    @property
    def deviation(self) -> float:
        """Standard deviation of the readings about the means of their stations; 1 if all are equal."""
        x = pd.Series(self.y)
        return float(np.sqrt(np.square(x - x.groupby(self.station).transform("mean")).mean())) or 1.0

    def predicted(
        self, x: Float[np.ndarray, "member cell"], rows: Int[np.ndarray, " reading"]
    ) -> Float[np.ndarray, "member reading"]:
        """H x of some readings; angles lie within half a circle of the reading."""
        corners = self.near(x[:, self.at.cells[rows]], self.y[rows][:, None])
        weights = self.at.weights[rows]
        return (np.where(weights > 0, corners, 0.0) * weights).sum(-1)

    def near(
        self, x: Float[np.ndarray, "..."], reference: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "..."]:
        """Angles within half a circle of a reference; other values are unchanged."""
        circle = self.nature.fit(Circle.kind, self.y) if self.nature.meaning == "angle" else None
        return near(circle, x.astype(float), reference)

    def with_errors(
        self,
        predicted: Float[np.ndarray, "member reading"],
        rows: Int[np.ndarray, " reading"],
        rng: np.random.Generator,
    ) -> Float[np.ndarray, "member reading"]:  # fmt: skip
        """Members with a drawn error each, within the range of the variable."""
        drawn = predicted + self.error[rows] * rng.standard_normal(predicted.shape)
        bounded = self.nature.meaning in ("positive", "bounded") and self.nature.known
        return (
            np.clip(drawn, self.nature.low, self.nature.high) if bounded else self.near(drawn, self.y[rows])
        )


def score_at_stations(
    stations: Source, draws: xr.Dataset, *, name: str = "user", representativeness: Representativeness = None,
    dem: xr.Dataset | None = None, columns: Mapping[str, str] | str | None = None, crs: str | None = None,
    nan_policy: NanPolicy = "raise", seed: int = 0, where: str = DEFAULT_NAME,
) -> Verified:  # fmt: skip
    """Scores of forecasts at stations, as `fieldcast.score` describes them."""
    check_representativeness(representativeness)
    forecasts = to_forecasts(draws, "the forecasts")
    table = read_stations(stations, where, columns, crs)
    relief = (
        Relief.of(dem, "the elevation model") if dem is not None else Relief.of(draws, "the forecasts", True)
    )
    shared = [v for v in map(str, forecasts.data_vars) if v in set(table["variable"])]
    if not shared:
        raise InputError(
            f"{where} has readings of {', '.join(table['variable'].unique())}, but the forecasts have "
            f"{', '.join(map(str, forecasts.data_vars))}: name variables of the table as those of the forecasts."
        )
    exists = existing(forecasts[shared])
    sentences: list[str] = []
    readings = {}
    for v in shared:
        of_variable = readings_of(
            table[table["variable"] == v], forecasts[v], exists.sel(variable=v), where, sentences
        )
        of_variable = at_elevation_of_cells(v, of_variable, forecasts[v], relief, sentences)
        refuse_other_units(v, of_variable, forecasts[v], where)
        stated = (
            representativeness.get(v, 0.0) if isinstance(representativeness, Mapping) else representativeness
        )
        readings[v] = with_representativeness(v, of_variable, forecasts[v], stated, sentences)
    tables, groups = [], []
    for part in complete_parts(forecasts[shared], exists, START, nan_policy):
        statistics, by_reading = station_statistics(part, readings, seed)
        tables.append(statistics)
        groups.append(by_reading)
    data = digest(table.to_csv(index=False))
    labelled = name_rows(with_origin(in_order(tables), seed, data, name), name)
    board = leaderboard({name: labelled}, data, name, seed=seed, layout=FORECAST)
    units = {v: str(forecasts[v].attrs.get("units") or "1") for v in shared}
    return Verified(board, by_station(pd.concat(groups, ignore_index=True)), units, sentences)


def existing(forecasts: xr.Dataset) -> xr.DataArray:
    """Mask (variable, latitude, longitude) of cells that have a value in some member at the first lead."""
    masks = [forecasts[v].isel({LEAD: 0}, drop=True).notnull().any([START, MEMBER]) for v in forecasts]
    return xr.concat(masks, dim=xr.Variable("variable", list(map(str, forecasts)))).compute()


def readings_of(
    table: pd.DataFrame, forecasts: xr.DataArray, exists: xr.DataArray, where: str, sentences: list[str]
) -> Readings:
    """The readings of a variable on the grid and at valid times of its forecasts; a sentence says which are not."""
    name, units = str(forecasts.name), str(forecasts.attrs.get("units") or "1")
    table = in_range(
        converted(table, {name: units}, where, "the unit of the forecasts"), {name: units}, where
    )
    y, x = (forecasts[axis].to_numpy() for axis in GRID)
    at = stencil(
        y, x, exists.to_numpy(), table["latitude"].to_numpy(float), table["longitude"].to_numpy(float)
    )
    starts = pd.DatetimeIndex(calendars.from_iso(calendars.iso(forecasts[START])))
    leads = pd.to_timedelta(forecasts[LEAD].to_numpy(), "h")
    times = pd.DatetimeIndex(np.unique((starts.to_numpy()[:, None] + leads.to_numpy()).ravel()))
    valid, away = nearest_valid(table, times)
    on_grid, used = at.weights.sum(1) > 0, valid >= 0
    for left, reason in (
        (~on_grid, "outside the grid of the forecasts"),
        (on_grid & ~used, "at other times"),
    ):
        if left.any():
            sentences.append(
                f"{name}: {int(left.sum())} of {len(table)} readings are {reason} and were left out"
            )
    kept = np.flatnonzero(on_grid & used)
    if not len(kept):
        raise InputError(
            f"{where} has no reading of '{name}' on the grid of the forecasts when one is valid (the first: "
            f"{times[0].isoformat()}): check locations and times."
        )
    if (hours := float(away[kept].max())) > 0:
        sentences.append(f"{name}: readings count at the nearest time of a forecast, up to {hours:g} h away")
    table = table.iloc[kept].reset_index(drop=True).assign(valid=valid[kept])
    place = [column for column in PLACE if column in table]
    station = table.groupby(place, dropna=False, sort=False).ngroup().to_numpy()
    value = table["value"].to_numpy(float)
    error = table["error"].to_numpy(float) if "error" in table else np.zeros(len(table))
    at = Stencil(at.cells[kept], at.weights[kept])
    return Readings(table, value, error, at, station, times, nature(table["value"], name, units))


def nearest_valid(
    table: pd.DataFrame, times: pd.DatetimeIndex
) -> tuple[Int[np.ndarray, " reading"], Float[np.ndarray, " reading"]]:
    """Index of the nearest valid time of each reading, or -1, and the hours between them.

    At most half a step of the readings or of the valid times lies between them, whichever is shorter; of several
    readings of a station at one valid time the nearest counts.
    """
    read = pd.DatetimeIndex(table["time"])
    index = np.asarray(times.get_indexer(read, method="nearest"))
    away = np.abs((read - times[index]) / pd.Timedelta(hours=1)).to_numpy()
    spacing = [np.diff(np.unique(each.to_numpy())) / np.timedelta64(1, "h") for each in (read, times)]
    limit = min((float(most_common(each)) / 2 for each in spacing if len(each)), default=0.0)
    index = np.where(away > limit, -1, index)
    order = np.argsort(away, kind="stable")
    place = [column for column in PLACE if column in table]
    later = table.assign(valid=index).iloc[order].duplicated([*place, "valid"]).to_numpy()
    index[order[later]] = -1
    return index, away


def at_elevation_of_cells(
    name: str, readings: Readings, forecasts: xr.DataArray, relief: Relief | None, sentences: list[str]
) -> Readings:
    """Readings as they would be at the elevation of the cells, where the elevation of stations is known and helps."""
    table = readings.table
    if "elevation" not in table or not table["elevation"].notna().any():
        return readings
    places = table.assign(y=readings.y, station=readings.station).dropna(subset="elevation")
    means = places.groupby("station")[["latitude", "longitude", "elevation", "y"]].mean()
    if len(means) < MIN_STATIONS_OF_DRIFT or readings.nature.meaning == "angle":
        return readings
    points = np.concatenate([unit_points([row.latitude], [row.longitude])[0] for row in means.itertuples()])
    drift = Surface.of(
        points, means[["y"]].to_numpy(float), None, None, means["elevation"].to_numpy(float)
    ).drift
    text = drift_text(
        name, str(forecasts.attrs.get("units") or ""), drift, relief is not None, "forecast_scores"
    )
    sentences += [text] if text else []
    if relief is None or drift is None or not drift.helpful:
        return readings
    cells = relief.on({axis: forecasts[axis].to_numpy() for axis in GRID}).ravel()
    above = table["elevation"].to_numpy(float) - (cells[readings.at.cells] * readings.at.weights).sum(1)
    return replace(readings, y=readings.y - float(drift.slope[0]) * np.nan_to_num(above) / 1000.0)


def refuse_other_units(name: str, readings: Readings, forecasts: xr.DataArray, where: str) -> None:
    """Raise an InputError if half of the readings are far from the forecasts of the first lead."""
    first = errors_of_mean(readings, forecasts.isel({LEAD: 0}))
    x = forecasts.isel({LEAD: 0}).to_numpy()
    spread = float(np.nanstd(x))
    if first.size and spread > 0 and (away := float(np.nanmedian(np.abs(first)))) > MAX_DEVIATIONS * spread:
        raise InputError(
            f"half of the readings of '{name}' in {where} are more than {away / spread:.3g} standard deviations of the "
            f"forecasts from these: check that they are in {forecasts.attrs.get('units') or '1'}, or add a column "
            "'units' to the table."
        )


def errors_of_mean(readings: Readings, forecasts: xr.DataArray) -> Float[np.ndarray, "start station"]:
    """Errors of the member mean at one lead, NaN without a reading."""
    errors = np.full((forecasts.sizes[START], int(readings.station.max()) + 1), np.nan)
    for start, (x, rows) in enumerate(of_starts(readings, forecasts)):
        if len(rows):
            predicted = readings.predicted(x, rows)
            errors[start, readings.station[rows]] = predicted.mean(0) - readings.y[rows]
    return errors


def of_starts(
    readings: Readings, forecasts: xr.DataArray
) -> Iterator[tuple[Float[np.ndarray, "member cell"], Int[np.ndarray, " reading"]]]:
    """Yield for each start the members at one lead, and the readings when they are valid."""
    values = forecasts.transpose(START, MEMBER, *GRID).to_numpy()
    order = np.argsort(readings.table["valid"].to_numpy(), kind="stable")
    ends = np.searchsorted(readings.table["valid"].to_numpy()[order], np.arange(len(readings.times) + 1))
    starts = pd.DatetimeIndex(calendars.from_iso(calendars.iso(forecasts[START])))
    valid = readings.times.get_indexer(starts + pd.to_timedelta(float(forecasts[LEAD]), "h"))
    for x, number in zip(values, valid, strict=True):
        yield x.reshape(len(x), -1), np.sort(order[ends[number] : ends[number + 1]])


def with_representativeness(
    name: str, readings: Readings, forecasts: xr.DataArray, stated: float | None, sentences: list[str]
) -> Readings:
    """Readings whose errors include that of representativeness, stated or estimated."""
    units = str(forecasts.attrs.get("units") or "")
    if stated is not None:
        return replace(readings, error=np.hypot(readings.error, stated))
    if forecasts.sizes[MEMBER] == 1:
        return readings
    total = local_variance(readings, forecasts)
    if total is None:
        sentences.append(
            f"{name}: no error of representativeness was added, because the stations are too few or too far apart for "
            "an estimate: give `representativeness`"
        )
        return readings
    variance = max(0.0, total - float(np.square(readings.error).mean()))
    sentences.append(
        f"{name}: an error of representativeness of {np.sqrt(variance):.3g}{f' {units}' if units else ''} was added to "
        "the members, estimated from differences between the errors of neighbouring stations"
    )
    return replace(readings, error=np.hypot(readings.error, np.sqrt(variance)))


def local_variance(readings: Readings, forecasts: xr.DataArray) -> float | None:
    """Variance of the errors of forecasts of the first lead that neighbouring stations do not share.

    It is the nugget of the errors of the member mean (`surfaces.Surface`), whose own errors are interpolated between
    cells and thus alike at stations of one cell. None unless enough stations have a neighbour within a cell.
    """
    errors = errors_of_mean(readings, forecasts.isel({LEAD: 0}))
    present = np.isfinite(errors)
    starts = np.flatnonzero(present.any(1))
    errors, present = errors[starts], present[starts]
    parts = []
    for share in SHARES:
        columns = np.flatnonzero(present.mean(0) >= share)
        rows = np.flatnonzero(present[:, columns].all(1))
        if len(columns) >= MIN_STATIONS and len(rows) >= MIN_STARTS:
            parts.append((len(rows) * len(columns), rows, columns))
    if not parts:
        return None
    _, rows, columns = max(parts, key=lambda part: part[0])
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, MAX_STARTS).round().astype(int))]
    first = pd.Series(np.arange(len(readings.station))).groupby(readings.station).first().to_numpy()[columns]
    latitude, longitude = (readings.table[axis].to_numpy(float)[first] for axis in GRID)
    points = np.concatenate([unit_points([y], [x])[0] for y, x in zip(latitude, longitude, strict=True)])
    cell = np.radians(np.median(np.abs(np.diff(forecasts["latitude"].to_numpy()))))
    nearest = cKDTree(points).query(points, 2)[0][:, 1]
    if (nearest < cell).sum() < MIN_STATIONS:
        return None
    surface = Surface.without_drift(points, errors[np.ix_(rows, columns)].T, None, None)
    return float(surface.kernel.k2.noise_level * np.square(surface.scale).mean()) if surface.kernel else None


def station_statistics(
    forecasts: xr.Dataset, readings: Mapping[str, Readings], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Statistics of forecasts, means over the readings of a start and a lead, as a tidy table; and of each reading.

    The variable "all" is the mean over variables in standard deviations of their readings about the mean of a station.
    """
    leads, starts = forecasts[LEAD].to_numpy(), calendars.iso(forecasts[START])
    values = np.full((len(leads), len(readings), len(STATISTICS), len(starts)), np.nan)
    groups = []
    for v, (name, given) in enumerate(readings.items()):
        for lead in range(len(leads)):
            for start, (x, rows) in enumerate(of_starts(given, forecasts[name].isel({LEAD: lead}))):
                if not len(rows):
                    continue
                rng = np.random.default_rng([seed, v, lead, start])
                of_readings = reading_statistics(given, given.predicted(x, rows), rows, rng)
                means = np.array([np.mean(of_readings[each]) for each in STATISTICS])
                values[lead, v, :, start] = means if np.isfinite(of_readings["error"]).all() else np.inf
                places = given.table.loc[rows, [column for column in PLACE if column in given.table]]
                of_readings |= {"lead_hours": leads[lead], "variable": name}
                groups.append(places.assign(**of_readings))
    power = np.array([POWER[each] for each in STATISTICS])[:, None]
    deviations = np.array([each.deviation for each in readings.values()])
    values = with_overall(values, deviations, power, axis=1)
    axes = {
        "lead_hours": leads,
        "region": [STATIONS],
        "variable": [*readings, "all"],
        "statistic": STATISTICS,
    }
    axes |= {"time": starts}
    table = long_table(values[:, None], *({key: np.asarray(axis)} for key, axis in axes.items()))
    return table, pd.concat(groups, ignore_index=True)


def reading_statistics(
    readings: Readings, predicted: Float[np.ndarray, "member reading"], rows: Int[np.ndarray, " reading"],
    rng: np.random.Generator,
) -> dict[str, Float[np.ndarray, " reading"]]:  # fmt: skip
    """Statistics of some readings: errors of the member mean without their errors, spread and CRPS with them."""
    y = readings.y[rows]
    statistics = {each: x for each, x in cell_statistics(predicted, y).items() if each in STATISTICS}
    if len(predicted) > 1:
        statistics["crps"] = fair_crps(readings.with_errors(predicted, rows, rng), y)
        statistics["variance"] = statistics["variance"] + readings.error[rows] ** 2
    return statistics


def by_station(of_readings: pd.DataFrame) -> pd.DataFrame:
    """Scores by lead, variable and station."""
    keys = ["lead_hours", "variable", *(name for name in PLACE if name in of_readings)]
    statistics = {"error": "error", "square": "squared_error", "crps": "crps"}
    columns = {new: of_readings[old].to_numpy() for new, old in statistics.items()}
    return scores_by_group(columns, of_readings[keys]).drop(columns="coverage90")


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
