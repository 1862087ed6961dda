"""Tables of stations as matrices, with a row for each time step and a column for each gauge.

A gauge is a name at a location, or a location if there are no names. Its readings within a step are averaged. Steps
without any reading are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int

from fieldcast import calendars
from fieldcast.calendars import TimeStep, most_common, step_of
from fieldcast.errors import MAX_LISTED, InputError, counted, listed
from fieldcast.fields.meaning import TEMPERATURE_UNITS, Nature, nature_of
from fieldcast.fields.quantities import AUTO, NONE, Circle
from fieldcast.fields.stations import Source, converted, observation_text, read_stations
from fieldcast.fields.units import conversion
from fieldcast.geometry import counted_from, unit_points

LOG = logging.getLogger(__name__)
MIN_STATIONS_AND_TIMES = 2  # smallest number of stations, and of times, of a variable
# degrees of longitude without stations for which an observing network does not circle the globe
MIN_EMPTY_SECTOR = 90.0
LONGITUDE_DECIMALS = 9  # decimals that longitudes in degrees are rounded to
MIN_SEASONAL_YEARS = 2.0  # shortest record, in years, for which an annual cycle is estimated
UNIT_DESCRIPTION = "the unit of most of its readings"
LOCATION = ["latitude", "longitude"]
# share of readings outside the range of a variable, above which its numbers mean something else
MAX_OUTSIDE = 0.05


@dataclass(frozen=True, eq=False)
class GaugeRecord:
    """Readings of one variable.

    Parameters
    ----------
    x
        Readings in their units, NaN where there is none.
    points
        Locations on the unit sphere.
    number
        Number of steps from the first time to each time.
    phase
        Phase of each time in the annual cycle, in radians.
    seasonal
        Whether the record is long enough for an annual cycle.
    elevation
        Height above the sea [m]; None if it is not used.
    """

    x: Float[np.ndarray, "time station"]
    points: Float[np.ndarray, "station 3"]
    number: Int[np.ndarray, " time"]
    phase: Float[np.ndarray, " time"]
    seasonal: bool
    elevation: Float[np.ndarray, " station"] | None = None

    def of(self, selected: Bool[np.ndarray, " station"]) -> GaugeRecord:
        """The record of some stations."""
        elevation = None if self.elevation is None else self.elevation[selected]
        return replace(self, x=self.x[:, selected], points=self.points[selected], elevation=elevation)

    @property
    def observed(self) -> Bool[np.ndarray, "time station"]:
        """Mask of the readings that exist."""
        return np.isfinite(self.x)

    @property
    def segment(self) -> Int[np.ndarray, " time"]:
        """Number of the stretch of successive steps that each time belongs to."""
        return np.cumsum(np.diff(self.number, prepend=self.number[0]) > 1)


@dataclass(frozen=True, eq=False)
class Gauges:
    """A table of readings averaged over time steps.

    Parameters
    ----------
    table
        Columns time (of the step), latitude, longitude, variable, value and, if there are names, station; `at_time` and
        `at_location` are the indices of the time and the gauge.
    times
        Times of the steps that occur.
    number
        Numbers of these steps, which differ by 1 between successive steps.
    step
        Length of a step.
    locations
        Columns latitude, longitude and, if the table has them, station and elevation [m] of each gauge.
    units
        Units of each variable.
    """

    table: pd.DataFrame
    times: np.ndarray
    number: Int[np.ndarray, " time"]
    step: TimeStep
    locations: pd.DataFrame
    units: Mapping[str, str]

    @classmethod
    def read(
        cls,
        source: Source,
        hours: float | None,
        where: str,
        quantities: str | Mapping[str, str] = NONE,
    ) -> Gauges:
        """Average a table over steps of some hours, by default over the most frequent step of its stations.

        Unless `quantities`, one for all or by name, says `none`, readings outside the range of their variable are left
        out, and angles are averaged as directions.
        """
        return cls.of_readings(read_stations(source, where), hours, where, quantities)

    @classmethod
    def of_readings(
        cls, table: pd.DataFrame, hours: float | None, where: str, quantities: str | Mapping[str, str] = NONE
    ) -> Gauges:
        """Average a table, as `read_stations` gives it."""
        table, units = valid_readings(table, where, quantities)
        mapped = [name for name in units if requested(quantities, name) != NONE]
        if "error" in table:
            LOG.info(
                "%s: the column 'error' is not used; the error of a reading is estimated from all readings.",
                where,
            )
        table["longitude"] = in_one_range(table["longitude"].to_numpy())
        step = step_of_stations(table, hours, where)
        table["number"], times = in_steps(table["time"].to_numpy().astype("M8[s]"), step)
        gauge = LOCATION
        if "station" in table:
            names = table["station"].astype(object)
            table["station"], gauge = names.where(names.notna(), "").astype(str), [*LOCATION, "station"]
        table = with_mean_directions(table, {name: units[name] for name in mapped}, gauge)
        table = table.groupby(["variable", "number", *gauge], as_index=False, dropna=False).agg(
            value=("value", "mean"),
            **({"elevation": ("elevation", "median")} if "elevation" in table else {}),
        )
        locations = table[gauge].drop_duplicates().sort_values(gauge, ignore_index=True)
        table["at_location"] = pd.MultiIndex.from_frame(locations).get_indexer(
            pd.MultiIndex.from_frame(table[gauge])
        )
        if "elevation" in table:
            locations["elevation"] = table.groupby("at_location")["elevation"].median()
            table = table.drop(columns="elevation")
        number, table["at_time"] = np.unique(table["number"], return_inverse=True)
        table["time"] = times[table["at_time"]]
        for variable, of_variable in table.groupby("variable"):
            for kind, column in (("station", "at_location"), ("time", "at_time")):
                if (count := of_variable[column].nunique()) < MIN_STATIONS_AND_TIMES:
                    raise InputError(
                        f"{where} has readings of '{variable}' at {counted(count, kind)}: a field in space and "
                        f"time needs at least {MIN_STATIONS_AND_TIMES} {kind}s."
                    )
        return cls(table.drop(columns="number"), times, number, step, locations, units)

    def of(self, variable: str) -> tuple[GaugeRecord, pd.DataFrame]:
        """The record of a variable at the gauges that measure it, and its readings in the order of the record."""
        table = self.table[self.table["variable"] == variable].sort_values(["at_time", "at_location"])
        location, column = np.unique(table["at_location"], return_inverse=True)
        x = np.full((len(self.times), len(location)), np.nan)
        x[table["at_time"], column] = table["value"]
        at = self.locations.iloc[location]
        points = np.concatenate([unit_points([y], [z])[0] for y, z in at[LOCATION].to_numpy()])
        phase = 2 * np.pi * calendars.fraction_of_year(self.times)
        days = (calendars.hours(self.times)[-1] + self.step.hours) / 24
        seasonal = days >= MIN_SEASONAL_YEARS * calendars.days_per_year(calendars.calendar_of(self.times))
        elevation = at["elevation"].to_numpy(float) if "elevation" in at else None
        record = GaugeRecord(x, points, self.number, phase, bool(seasonal), elevation)
        return record, table.assign(column=column).reset_index(drop=True)


def valid_readings(
    table: pd.DataFrame, where: str, quantities: str | Mapping[str, str]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table in common units, without readings that no value can be, and these units by variable."""
    table, units = in_common_units(table, where)
    mapped = {name: unit for name, unit in units.items() if requested(quantities, name) != NONE}
    return in_range(table, mapped, where), units


def in_common_units(table: pd.DataFrame, where: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Convert each variable to the unit of most of its readings; also return the units, "1" if the table has none."""
    names = list(dict.fromkeys(table["variable"]))
    if "units" not in table:
        LOG.warning(
            "%s names no units, so the result has the unit 1: write them into the headings, as in `t2m [degC]`, or a "
            "column `units` (of a wide table in its list of stations), and values that no such quantity has are left "
            "out.",
            where,
        )
        return table, dict.fromkeys(names, "1")
    counts = {name: table.loc[table["variable"] == name, "units"].value_counts() for name in names}
    units = {name: str(count.index[0]) if len(count) else "" for name, count in counts.items()}
    return converted(table, units, where, UNIT_DESCRIPTION), units


def requested(quantities: str | Mapping[str, str], variable: str) -> str:
    """The quantity that an option names for a variable."""
    return quantities if isinstance(quantities, str) else quantities.get(variable, AUTO)


def nature(values: pd.Series, variable: str, units: str) -> Nature:
    """Meaning of some readings of a variable."""
    array = xr.DataArray(values.to_numpy(), dims="reading", name=variable, attrs={"units": units})
    return nature_of(array, array.values)


def in_range(table: pd.DataFrame, units: Mapping[str, str], where: str) -> pd.DataFrame:
    """The table without the readings outside the range that name and units of their variable say; the log names them.

    All are kept if they are more than `MAX_OUTSIDE` of a variable, which the log says, too.
    """
    wrong = pd.Series(False, table.index)
    for variable, unit in units.items():
        values = table.loc[table["variable"] == variable, "value"]
        low, high = valid_range(values, variable, unit)
        outside = values[~values.between(low, high)].index
        if not len(outside):
            continue
        span = " or ".join(
            [f"below {low:.6g}"] * bool(np.isfinite(low)) + [f"above {high:g}"] * bool(np.isfinite(high))
        )
        few = len(outside) <= MAX_OUTSIDE * len(values)
        wrong[outside] = few
        texts = [
            f"{row['value']:.5g} ({observation_text(row)})"
            for row in table.loc[outside].head(MAX_LISTED).to_dict("records")
        ]
        LOG.warning(
            "%s: %d of %d readings of %s are %s, which no value can be, and %s: %s; correct them%s.",
            where, len(outside), len(values), variable, span,
            "were left out" if few else "are so many that they were kept", listed(texts, len(outside)),
            f", or use all as they are with the quantity {variable}=none" if few else ", or remove them",
        )  # fmt: skip
    return table[~wrong].reset_index(drop=True) if wrong.any() else table


def valid_range(values: pd.Series, variable: str, unit: str) -> tuple[float, float]:
    """Smallest and largest value that name and units of a variable allow; infinite if they do not say."""
    if TEMPERATURE_UNITS.match(unit):
        to_kelvin = conversion("K", unit)
        return (-np.inf if to_kelvin is None else to_kelvin.offset), np.inf
    inside = values.between(0, 100 if unit in ("%", "percent") else np.inf)
    if not inside.any():
        return -np.inf, np.inf
    of_inside = nature(values[inside], variable, unit)
    if of_inside.meaning == "angle":
        return -of_inside.period, of_inside.period
    if of_inside.meaning in ("positive", "bounded") and of_inside.known:
        return of_inside.low, of_inside.high
    return -np.inf, np.inf


def with_mean_directions(table: pd.DataFrame, units: Mapping[str, str], gauge: Sequence[str]) -> pd.DataFrame:
    """The table with the mean direction of a step and gauge in place of several angles there."""
    key = ["variable", "number", *gauge]
    several = table.duplicated(key, keep=False)
    for variable, unit in units.items():
        rows = table[table["variable"] == variable]
        meaning = nature(rows["value"], variable, unit)
        if meaning.meaning != "angle" or not several[rows.index].any():
            continue
        angles = rows["value"].to_numpy(float)
        circle = meaning.fit(Circle.kind, angles)
        parts = pd.DataFrame(circle.forward(angles).T, rows.index).join(rows[key])
        means = parts.groupby(key, dropna=False)[[0, 1]].transform("mean").to_numpy().T
        table.loc[rows.index, "value"] = np.where(several[rows.index], circle.inverse(means), angles)
    return table


def in_one_range(longitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Longitudes without a jump inside the observing network: from -180 or from 0, or from its western edge."""
    first = -180.0 if longitude.min() < 0 else 0.0
    turned = np.unique(np.round(longitude % 360.0, LONGITUDE_DECIMALS))
    gaps = np.diff(np.append(turned, turned[0] + 360.0))
    if gaps.max() < MIN_EMPTY_SECTOR:
        return np.round(counted_from(longitude, first), LONGITUDE_DECIMALS)
    west = turned[(int(gaps.argmax()) + 1) % len(turned)]
    east = west + 360.0 - gaps.max()
    west -= 360.0 * (east > first + 360.0)
    return np.round(counted_from(longitude, west), LONGITUDE_DECIMALS)


def step_of_stations(table: pd.DataFrame, hours: float | None, where: str) -> TimeStep:
    """The step of some hours, or the most frequent step of the stations."""
    if hours is not None:
        if not hours > 0:
            raise InputError(f"the step is {hours:g} hours: give a positive number of hours.")
        return TimeStep(float(hours))
    times = np.unique(table["time"].to_numpy().astype("M8[s]"))
    if len(times) < MIN_STATIONS_AND_TIMES:
        raise InputError(
            f"{where} has readings at 1 time: a field in space and time needs at least {MIN_STATIONS_AND_TIMES} times."
        )
    overall = step_of(times)
    if overall.months:
        return overall
    spacing = table.sort_values("time").groupby([*LOCATION, "variable"])["time"].diff().dt.total_seconds()
    spacing = spacing[spacing > 0]
    return TimeStep(float(most_common(spacing.to_numpy())) / 3600) if len(spacing) else overall


def in_steps(times: np.ndarray, step: TimeStep) -> tuple[Int[np.ndarray, " n"], np.ndarray]:
    """Number of the nearest step of each time, and the times of the steps that occur, in order.

    Steps are at the most frequent phase of the times within a step; monthly steps are at the beginning of the month.
    """
    if step.months:
        month = times.astype("M8[M]").astype(int)
        number = (month - month.min()) // step.months
        present = np.unique(number)
        return number, (present * step.months + month.min()).astype("M8[M]").astype("M8[s]")
    seconds, since = round(3600 * step.hours), times.astype("M8[s]").astype(int)
    phase = int(most_common(since % seconds))
    number = (since - phase + seconds // 2) // seconds
    return number - number.min(), (np.unique(number) * seconds + phase).astype("M8[s]")
