"""Tables of observations at locations: gauges, buoys, soundings; one row for each observed value.

Columns: time, latitude, longitude, variable, value; and optionally error (its standard deviation), units (of value and
error), station and elevation [m]. Other common names of these columns are understood.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import cftime
import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_string_dtype

from fieldcast.arguments import as_given
from fieldcast.errors import InputError, counted
from fieldcast.fields.conventions import short
from fieldcast.fields.units import conversion

LOG = logging.getLogger(__name__)

MIN_ZERO_READINGS = 10  # smallest number of readings that are unlikely to be all zero by chance
DEFAULT_NAME = "the table of stations"
LISTED_ROWS = 3  # largest number of rows that a message lists


def read_stations(source: str | Path | pd.DataFrame, where: str) -> pd.DataFrame:
    """A table in the columns of the module, with times as datetime64 in UTC; `where` names it in messages."""
    if isinstance(source, pd.DataFrame):
        table = source.copy()
    elif isinstance(source, str | Path) and str(source).strip() and "\0" not in str(source):
        where = f"'{source}'" if where == DEFAULT_NAME else where
        table = read_table(Path(source), where)
    else:
        raise InputError(
            f"stations {as_given(source)}: give a table of pandas, or the name of a CSV or Parquet file."
        )
    table = table.rename(columns=canonical_names(table, where))
    table = table[[name for name in NAMES if name in table]].reset_index(drop=True)
    if table.empty:
        raise InputError(f"{where} holds no observation.")
    table = checked(table, where)
    table = table.assign(variable=table["variable"].astype(str).str.strip().map(short))
    key = [name for name in ("time", "latitude", "longitude", "variable", "station") if name in table]
    refuse_rows(table.duplicated(key), table, where, "is given twice", "choose one of them")
    if silent := all_zero(table):
        LOG.warning(
            "%s: all readings of %s are zero (%s): check whether the instruments work.",
            where, counted(len(silent), "station"),
            "; ".join(silent[:LISTED_ROWS]) + " ..." * (len(silent) > LISTED_ROWS),
        )  # fmt: skip
    return table.reset_index(drop=True)


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


# Files of observations as tables: their columns by common names, times in UTC, numbers.


NAMES: Mapping[str, Sequence[str]] = {
    "time": ("time", "date", "datetime", "valid_time", "timestamp"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng", "long"),
    "variable": ("variable", "parameter", "element"),
    "value": ("value", "observation", "observed", "obs"),
    "error": ("error", "uncertainty", "sigma", "observation_error"),
    "units": ("units", "unit"),
    "station": ("station", "station_id", "id", "name"),
    "elevation": ("elevation", "altitude", "elev", "alt"),
}
OPTIONAL = ("error", "units", "station", "elevation")


def read_table(path: Path, where: str) -> pd.DataFrame:
    """Read a CSV or Parquet file."""
    if path.is_dir():
        raise InputError(f"{where} is a folder, not a file: give the table in it.")
    if path.exists() and not path.is_file():
        raise InputError(
            f"{where} is a pipe or device, not a file: save the data to a file and give that one."
        )
    if not path.exists():
        raise InputError(f"{where} does not exist: check its name.")
    if not path.stat().st_size:
        raise InputError(f"{where} is empty: give a table of observations.")
    refuse_zero_bytes(path, where)
    try:
        return pd.read_parquet(path) if path.suffix in (".parquet", ".pq") else pd.read_csv(path)
    except UnicodeDecodeError:
        raise InputError(f"{where} is not text in UTF-8: save it as UTF-8.") from None
    except Exception as error:  # whatever a parser raises, the file is not a table
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(
            f"{where} cannot be read as a table, CSV or Parquet ({reason}): give another file."
        ) from error


def refuse_zero_bytes(path: Path, where: str) -> None:
    """Raise an InputError for a table of text with zero bytes, as a file has that was not written to its end."""
    if path.suffix.lower() not in (".csv", ".txt", ".tsv", ".dat"):
        return
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16, which has such bytes
            return
        file.seek(0)
        before = 0
        while block := file.read(2**20):
            if (at := block.find(0)) >= 0:
                raise InputError(
                    f"{where} holds zero bytes from byte {before + at + 1} on, as a file does that was not written to "
                    "its end: copy or write it again."
                )
            before += len(block)


def canonical_names(table: pd.DataFrame, where: str) -> dict[str, str]:
    """Map the columns of the table that have a meaning to their names in `NAMES`."""
    lower = {str(name).strip().lower(): str(name) for name in table.columns}
    names = [str(name).strip().lower() for name in table.columns]
    for name in (word for alternatives in NAMES.values() for word in alternatives):
        if names.count(name) > 1 or f"{name}.1" in names:  # pandas' name of a second one
            raise InputError(f"{where} has two columns '{name}': keep one.")
    columns = {}
    for name, alternatives in NAMES.items():
        present = [lower[other] for other in alternatives if other in lower]
        if len(present) > 1 and name not in OPTIONAL:
            raise InputError(f"{where} has the columns {' and '.join(present)}: keep one.")
        column = present[0] if present else None
        if column is not None:
            columns[column] = name
        elif name not in OPTIONAL:
            if len(table.columns) == 1 and ";" in str(table.columns[0]):
                raise InputError(f"{where} is separated by semicolons: use commas.")
            raise InputError(
                f"{where} has no column '{name}': it needs time, latitude, longitude, variable and value, one row for "
                f"each observed value; its columns are {', '.join(map(str, table.columns))}."
            )
    return columns


def times(column: pd.Series, where: str) -> pd.Series:
    """Convert times to UTC; a time without a zone counts as UTC, which the log says."""
    if is_numeric_dtype(column):
        raise InputError(
            f"{where} gives times as numbers ({column.iloc[0]}): write them as 2001-12-31 or 2001-12-31T18:00Z."
        )
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
    naive = (
        getattr(column.dtype, "tz", None) is None
        and not column.astype(str).str.contains("Z|[+-]\\d\\d:?\\d\\d$").any()
    )
    if naive:
        LOG.info("%s: its times name no zone and are taken as UTC.", where)
    return parsed.dt.tz_localize(None).astype("datetime64[s]")  # any year


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
    values = pd.to_numeric(column, errors="coerce")
    wrong = values.isna() & column.notna() & (column.astype(str).str.strip().str.lower() != "nan")
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(
            f"{where}: '{column.iloc[row]}' in column '{column.name}', row {row + 1}, is not a number: correct it."
        )
    return values.astype(float)
