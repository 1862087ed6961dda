"""Tables of observations at locations: gauges, buoys, soundings; one row for each observed value.

Columns: time, latitude, longitude, variable, value; and optionally error (its standard deviation), units (of value and
error), station, track (of an instrument that moves) and elevation [m]. Other common names of these columns are
understood.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import cftime
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool
from pandas.api.types import is_numeric_dtype, is_string_dtype

from fieldcast.arguments import as_given
from fieldcast.errors import MAX_LISTED, InputError, counted, listed
from fieldcast.fields.conventions import short
from fieldcast.fields.encoding import MIN_MASK_TIMES, Search
from fieldcast.fields.options import columns_of
from fieldcast.fields.quality import MAX_FINITE
from fieldcast.fields.table_layouts import THOUSANDS, long_table, read_table, with_points
from fieldcast.fields.units import conversion

LOG = logging.getLogger(__name__)

MIN_ZERO_READINGS = 10  # smallest number of readings that are unlikely to be all zero by chance
DEFAULT_NAME = "the table of stations"
LISTED_ROWS = 3  # largest number of rows that a message lists
# codes for missing values in tables, beside those of grids: buoys, GSOD, data loggers, tenths packed in 16 bits
CODES = (
    *(99.0, 99.9, 99.99, 999.9, 999.99, 9999.9, 9999.99, -99.99, -999.99, -9999.9, -9999.99),
    *(888.0, -888.0, -888.8, 8888.0, -8888.0, 6999.0, -6999.0, 7999.0, 3276.7, -3276.8, -3276.7, 99999.9),
)  # fmt: skip
MIN_CODE = 100.0  # absolute value below which a code may be a true extreme
MIN_REPEATED = 5  # smallest number of readings that are such a code
ZONE = r"(?:\d\d:\d\d|T\d\d).*(?:Z|[+-]\d\d(?::?\d\d)?)$|Z$"
DIGITS = r"^(1[6-9]\d\d|2[0-2]\d\d)(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d))?)?)?)?$"
# a table, the path of one, or a pair of tables: of the readings, and of the places of stations
Source: TypeAlias = str | Path | pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]


def read_stations(
    source: Source, where: str, columns: Mapping[str, str] | str | None = None, crs: str | None = None
) -> pd.DataFrame:
    """A table in the columns of the module, with times as datetime64 in UTC; `where` names it in messages.

    Tables in other layouts are read, too (`fields.table_layouts`): `columns` says which heading a column has, and `crs`
    is the coordinate reference system of x and y. Codes for missing values are left out, and identical rows count once.
    """
    places: pd.DataFrame | Path | None = None
    if isinstance(source, tuple) and len(source) == 2 and all(isinstance(x, pd.DataFrame) for x in source):
        source, places = source
    if isinstance(source, pd.DataFrame):
        table = source.copy()
    elif isinstance(source, str | Path) and str(source).strip() and "\0" not in str(source):
        where = f"'{source}'" if where == DEFAULT_NAME else where
        places = Path(source)
        table = read_table(places, where)
    else:
        raise InputError(
            f"stations {as_given(source)}: give a table of pandas, the name of a CSV or Parquet file, or a pair of "
            "tables, of the readings and of the stations."
        )
    table = long_table(table, places, where, columns_of(columns), crs)
    if table.empty:
        raise InputError(f"{where} holds no observation.")
    table = checked(table, where)
    table = table.assign(variable=table["variable"].astype(str).str.strip().map(short))
    table = without_repeated_rows(table, where)
    table = without_codes(table, where)
    key = [
        "time",
        "latitude",
        "longitude",
        "variable",
        *(name for name in ("station", "track") if name in table),
    ]
    refuse_rows(
        table.duplicated(key), table, where, "is given twice, with different values", "choose one of them"
    )
    if silent := all_zero(table):
        LOG.warning(
            "%s: all readings of %s are zero (%s): check whether the instruments work.",
            where, counted(len(silent), "station"),
            "; ".join(silent[:LISTED_ROWS]) + " ..." * (len(silent) > LISTED_ROWS),
        )  # fmt: skip
    return table.reset_index(drop=True)


def without_repeated_rows(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Drop rows that repeat another in all columns; the log counts them."""
    repeated = table.duplicated()
    if repeated.any():
        first = observation_text(table[repeated].iloc[0].to_dict())
        LOG.warning(
            "%s: %s all columns, the first %s: identical rows count once.",
            where, counted(int(repeated.sum()), "row repeats another in", "rows repeat others in"), first,
        )  # fmt: skip
    return table[~repeated].reset_index(drop=True)


def without_codes(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Drop readings that are codes for missing values, such as -9999, by the rule of grids; the log names them.

    The rule is that of `fields.encoding`: far outside all other values of the variable, or at all times of a station.
    A few readings may be true extremes (99 mm of rain, 999 hPa): they are codes if they have another sign than all
    others, or twice their size. Values of 1e30 or more are codes as well.
    """
    wrong = pd.Series(False, table.index)
    by_unit = [name for name in ("variable", "units") if name in table]
    for key, values in table.groupby(by_unit, dropna=False)["value"]:
        x = values.to_numpy(np.float32)
        finite = np.abs(x) < MAX_FINITE
        search = Search(xr.DataArray(x, dims="reading"), CODES)
        search.add(x[finite][:, None, None])
        coded = ~finite
        series = table.loc[values.index, station_columns(table)]
        for code in search.occurrences:
            equal = x == np.float32(code)
            extreme = equal.sum() < MIN_REPEATED and (
                abs(code) < MIN_CODE
                or not (code < 0 <= search.low or abs(code) > 2 * max(abs(search.low), abs(search.high)))
            )
            if search.is_far(code) and not extreme:
                coded |= equal
            elif abs(code) >= MIN_CODE:
                coded |= equal & persistent(equal, series, code < 0 and not search.has_others)
        if not coded.any():
            continue
        wrong[values.index[coded]] = True
        codes = ", ".join(f"{code:.7g}" for code in np.unique(x[coded])[:LISTED_ROWS])
        others = values[~coded]
        span = (
            f"the others lie between {others.min():.5g} and {others.max():.5g}"
            if len(others)
            else "all of them"
        )
        rows = table.loc[values.index[coded]].head(MAX_LISTED).to_dict("records")
        LOG.warning(
            "%s: %d of %d readings of %s are %s, a code for a missing value (%s), and were left out: %s; leave such "
            "cells empty.",
            where, int(coded.sum()), len(values), key[0], codes, span,
            listed([observation_text(row) for row in rows], int(coded.sum())),
        )  # fmt: skip
    if wrong.all():
        raise InputError(
            f"{where} holds no observation: all values are codes for missing ones, such as -9999."
        )
    return table[~wrong].reset_index(drop=True)


def persistent(
    equal: Bool[np.ndarray, " reading"], series: pd.DataFrame, certain: bool
) -> Bool[np.ndarray, " reading"]:
    """Mask of the readings of stations that are a code at all of their times, if these are enough for a mask of grids.

    All readings of a variable count as those of one station, and negative ones without any others are `certain`.
    """
    if certain or (equal.all() and len(equal) >= MIN_MASK_TIMES):
        return equal
    of_station = pd.Series(equal).groupby(series.groupby(list(series), dropna=False).ngroup().to_numpy())
    always = (of_station.transform("mean") == 1) & (of_station.transform("size") >= MIN_MASK_TIMES)
    return always.to_numpy()


def checked(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Convert texts to times and numbers, drop rows without a value, set missing errors to 0, reject invalid rows."""
    table["time"] = times(table["time"], where)
    for name in ("latitude", "longitude", "value", *(["error"] if "error" in table else [])):
        table[name] = numbers(table[name], where)
    refuse_rows(np.isinf(table["value"]), table, where, "has an infinite value", "correct it")
    if "elevation" in table:
        table["elevation"] = numbers(table["elevation"], where)
        refuse_rows(np.isinf(table["elevation"]), table, where, "has an infinite elevation", "correct it")
    table = table[table["value"].notna()]
    if table.empty:
        raise InputError(f"{where} holds no observation: all values are missing.")
    outside = ~table["latitude"].between(-90, 90)
    refuse_rows(outside, table, where, "has a latitude that is not within -90 to 90 degrees", "correct it")
    refuse_rows(
        ~np.isfinite(table["longitude"]), table, where, "has no longitude", "add it, or remove the row"
    )
    outside = ~table["longitude"].between(-360, 360)
    refuse_rows(outside, table, where, "has a longitude that is not within -360 to 360 degrees", "correct it")
    if "error" in table:
        table = table.assign(error=table["error"].fillna(0.0))
        wrong = ~np.isfinite(table["error"]) | (table["error"] < 0)
        refuse_rows(wrong, table, where, "has an error that is negative or infinite", "correct it")
    return table


def station_columns(table: pd.DataFrame) -> list[str]:
    """Columns that identify a series of readings: station, if there are names, location and variable."""
    return [name for name in ("station", "latitude", "longitude", "variable") if name in table]


def all_zero(table: pd.DataFrame) -> list[str]:
    """Stations with at least ten readings of a variable that are all zero, as text for messages."""
    series = table.groupby(station_columns(table), sort=False, dropna=False)["value"]
    summary = series.agg(count="size", largest=lambda values: values.abs().max()).reset_index()
    suspect = summary[(summary["count"] >= MIN_ZERO_READINGS) & (summary["largest"] == 0)]
    return [
        (f"station {row['station']}, " if "station" in row else "")
        + f"{row['variable']} at {row['latitude']:g}, {row['longitude']:g}"
        for row in suspect.to_dict("records")
    ]


def converted(
    table: pd.DataFrame,
    units: Mapping[str, str],
    where: str,
    unit_source: str = "the unit that the model was trained in",
) -> pd.DataFrame:
    """Convert a table to the units of each variable; without a column of units, values are taken to be in them already.

    `unit_source` says in messages where these units come from.
    """
    table = table.copy()
    refuse_rows(
        ~table["variable"].isin(list(units)), table, where,
        f"is of a variable that the model lacks, which has {', '.join(units)}", "remove it, or correct its name",
    )  # fmt: skip
    if "units" not in table:
        return table.assign(units=table["variable"].map(dict(units)))
    without = table["units"].isna()
    refuse_rows(without, table, where, "has no units, although the table has a column of them", "add them")
    for (variable, unit), part in table.groupby(["variable", "units"]):
        change = conversion(str(unit), units[str(variable)])
        if change is None:
            raise InputError(
                f"variable '{variable}' of {where} is in '{unit}', which cannot be converted to "
                f"'{units[str(variable)]}', {unit_source}: give it in that unit."
            )
        table.loc[part.index, "value"] = part["value"] * change.scale + change.offset
        if "error" in table:
            table.loc[part.index, "error"] = part["error"] * abs(change.scale)
    return table.assign(units=table["variable"].map(dict(units)))


def refuse_rows(wrong: pd.Series, table: pd.DataFrame, where: str, fault: str, remedy: str) -> None:
    """Raise an InputError that lists the first observations with a fault."""
    if not wrong.any():
        return
    rows = "; ".join(observation_text(row) for row in table[wrong].head(LISTED_ROWS).to_dict("records"))
    number = int(wrong.sum())
    subject = "an observation" if number == 1 else f"each of {number} observations"
    raise InputError(f"{where}: {subject} {fault} ({rows}{' ...' * (number > LISTED_ROWS)}): {remedy}.")


def observation_text(row: Mapping[str, object]) -> str:
    """An observation as text for a message."""
    name = f"station {row['station']}, " if "station" in row else ""
    location = f"{row['latitude']:g}, {row['longitude']:g}"
    return f"{name}{row['variable']} at {location} on {pd.Timestamp(str(row['time'])).isoformat()}"


# Cells of tables: times in UTC, and numbers.


def times(column: pd.Series, where: str) -> pd.Series:
    """Convert times to UTC; a time without a zone counts as UTC, which the log says."""
    column = iso_texts(column, where)
    if column.dtype == object:  # cftime dates, which have no time zone
        column = column.map(lambda time: time.isoformat() if isinstance(time, cftime.datetime) else time)
    try:
        parsed = pd.to_datetime(column, utc=True, format="ISO8601" if is_string_dtype(column) else None)
    except (ValueError, TypeError, OverflowError) as error:
        row, value = first_unreadable(column)
        raise InputError(
            f"{where}: '{value}' in column 'time', row {row}, is not a time: write it as 2001-12-31 or "
            "2001-12-31T18:00Z."
        ) from error
    if parsed.isna().any():
        raise InputError(f"{where} has no time in row {int(parsed.isna().to_numpy().argmax()) + 1}: add it.")
    if getattr(column.dtype, "tz", None) is None:
        naive = ~column.astype(str).str.contains(ZONE).to_numpy()
        if naive.all():
            LOG.info("%s: its times name no zone and are taken as UTC.", where)
        elif naive.any():
            row = int(naive.argmax())
            LOG.warning(
                "%s: %d of %d times name no zone and are taken as UTC, the first in row %d ('%s'); the others are "
                "converted from their zones.",
                where, int(naive.sum()), len(naive), row + 1, column.iloc[row],
            )  # fmt: skip
    return parsed.dt.tz_localize(None).astype("datetime64[s]")  # any year


def iso_texts(column: pd.Series, where: str) -> pd.Series:
    """Times as texts of ISO 8601, where they are digits (20011231, 200112311800) or dates such as 31.12.2001."""
    if is_numeric_dtype(column) or (column.dtype == object and not is_string_dtype(column)):
        number = pd.to_numeric(column, errors="coerce")
        if number.isna().any() or not (number % 1 == 0).all():
            if is_numeric_dtype(column):
                refuse_numbers(column, where)
            return column
        column = number.astype("int64").astype(str)
    if not is_string_dtype(column):
        return column
    text = column.str.strip().str.replace(r"\s*(UTC|GMT)$", "Z", regex=True)
    digits = text.str.fullmatch(r"\d+(?:\.0)?").fillna(False).astype(bool)
    if digits.all() and not text.str.fullmatch(r"\d{4}").all():
        text = text.str.replace(r"\.0$", "", regex=True)
        parts = text.str.extract(DIGITS)
        if parts[0].isna().any():
            refuse_numbers(text, where)
        clock = parts[[3, 4, 5]].fillna("00").agg(":".join, axis=1)
        iso = parts[[0, 1, 2]].fillna("01").agg("-".join, axis=1) + "T" + clock
        if pd.to_datetime(iso, errors="coerce", format="ISO8601").isna().any():
            refuse_numbers(text, where)
        return iso
    return with_year_first(text, where)


def refuse_numbers(column: pd.Series, where: str) -> None:
    """Raise an InputError for times that are numbers, and no dates as digits."""
    raise InputError(
        f"{where} gives times as numbers ({column.iloc[0]}): write them as 2001-12-31 or 2001-12-31T18:00Z, or as the "
        "digits 20011231 or 200112311800."
    )


def with_year_first(text: pd.Series, where: str) -> pd.Series:
    """Dates such as 31.12.2001, 31/12/2001 and 12/31/2001 as 2001-12-31; points separate day, month and year.

    Between slashes, the part that is above 12 in some row is the day; without one, day and month cannot be told.
    """
    parts = text.str.extract(r"^(\d{1,2})([./])(\d{1,2})\2(\d{4})(?:[ T]+(.*))?$")
    dated = parts[0].notna()
    if not dated.any():
        return text.str.replace(r"^(\d{4})[./](\d{1,2})[./](\d{1,2})", iso_day, regex=True)
    first, second = (parts.loc[dated, part].astype(int) for part in (0, 2))
    day_first = bool((parts.loc[dated, 1] == ".").all() or (first > 12).any())
    if not day_first and not (second > 12).any():
        raise InputError(
            f"{where} has times such as '{text[dated].iloc[0]}', whose day and month cannot be told apart: write them "
            "as 2001-12-31."
        )
    day, month = (parts[0], parts[2]) if day_first else (parts[2], parts[0])
    iso = parts[3] + "-" + month.str.zfill(2) + "-" + day.str.zfill(2)
    clock = parts[4].fillna("").str.replace(r"^(\d):", r"0\1:", regex=True)
    iso = iso.where(clock == "", iso + "T" + clock)
    return text.where(~dated, iso)


def iso_day(match: re.Match[str]) -> str:
    """A date with the year first, between hyphens."""
    return f"{match[1]}-{int(match[2]):02d}-{int(match[3]):02d}"


def first_unreadable(column: pd.Series) -> tuple[int, object]:
    """Row, counted from 1, and value of the first unreadable time."""
    for row, value in enumerate(column, start=1):
        try:
            pd.to_datetime(pd.Series([value]), utc=True, format="ISO8601" if isinstance(value, str) else None)
        except (ValueError, TypeError, OverflowError):
            return row, value
    return 1, column.iloc[0]


def numbers(column: pd.Series, where: str) -> pd.Series:
    """Convert a column to numbers, NaN where it is empty."""
    if is_string_dtype(column) and not column.astype(str).str.fullmatch(THOUSANDS).any():
        column = with_points(column, where)
    values = pd.to_numeric(column, errors="coerce")
    wrong = values.isna() & column.notna() & (column.astype(str).str.strip().str.lower() != "nan")
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(
            f"{where}: '{column.iloc[row]}' in column '{column.name}', row {row + 1}, is not a number: correct it."
        )
    return values.astype(float)
