"""Tables of observations at places: gauges, buoys, soundings; one row for each observed value.

Columns: time, latitude, longitude, variable, value; and, if there are any, error (its standard deviation), units (of
value and error) and station. Common other names of them are understood.
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
from fieldcast.errors import InputError
from fieldcast.fields.parameter_names import short
from fieldcast.fields.units import conversion

LOG = logging.getLogger(__name__)

NAMES: Mapping[str, Sequence[str]] = {
    "time": ("time", "date", "datetime", "valid_time", "timestamp"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng", "long"),
    "variable": ("variable", "parameter", "element"),
    "value": ("value", "observation", "observed", "obs"),
    "error": ("error", "uncertainty", "sigma", "observation_error"),
    "units": ("units", "unit"),
    "station": ("station", "station_id", "id", "name"),
}
OPTIONAL = ("error", "units", "station")
ZEROS = 10  # readings of a station that are not all zero by chance
DEFAULT = "the table of stations"
LISTED = 3  # rows that a message lists


def read_stations(source: str | Path | pd.DataFrame, where: str) -> pd.DataFrame:
    """A table in the columns of the module, with times as datetime64 in UTC; `where` names it in messages.

    Raises
    ------
    InputError
        If the table cannot be read, lacks a column, or holds an invalid time, place or value.
    """
    if isinstance(source, pd.DataFrame):
        table = source.copy()
    elif isinstance(source, str | Path) and str(source).strip() and "\0" not in str(source):
        table = read_table(Path(source), f"'{source}'" if where == DEFAULT else where)
    else:
        raise InputError(
            f"stations {as_given(source)}: give a table of pandas, or the name of a CSV or Parquet file."
        )
    if isinstance(source, str | Path) and where == DEFAULT:
        where = f"'{source}'"
    table = table.rename(columns=canonical_names(table, where))
    table = table[[name for name in NAMES if name in table]].reset_index(drop=True)
    if table.empty:
        raise InputError(f"{where} holds no observation.")
    table["time"] = times(table["time"], where)
    for name in ("latitude", "longitude", "value", *(["error"] if "error" in table else [])):
        table[name] = numbers(table[name], where)
    refuse(np.isinf(table["value"]), table, where, "has an infinite value: correct it")
    table = table[table["value"].notna()]
    if table.empty:
        raise InputError(f"{where} holds no observation: all values are missing.")
    refuse(
        ~table["latitude"].between(-90, 90),
        table,
        where,
        "has a latitude that is not within -90 to 90 degrees: correct it",
    )
    refuse(~np.isfinite(table["longitude"]), table, where, "has no longitude: add it, or remove the row")
    if "error" in table:
        table["error"] = table["error"].fillna(0.0)
        wrong = ~np.isfinite(table["error"]) | (table["error"] < 0)
        refuse(wrong, table, where, "has an error that is negative or infinite: correct it")
    table["variable"] = table["variable"].astype(str).str.strip().map(short)
    key = [name for name in ("time", "latitude", "longitude", "variable", "station") if name in table]
    refuse(table.duplicated(key), table, where, "is there twice: choose one of them")
    if silent := all_zero(table):
        LOG.warning(
            "%s: all readings of %d stations are zero (%s): check whether these instruments work.",
            where, len(silent), "; ".join(silent[:LISTED]) + " ..." * (len(silent) > LISTED),
        )  # fmt: skip
    return table.reset_index(drop=True)


def station_columns(table: pd.DataFrame) -> list[str]:
    """Columns that identify a series of readings: station, if there are names, place and variable."""
    return [name for name in ("station", "latitude", "longitude", "variable") if name in table]


def all_zero(table: pd.DataFrame) -> list[str]:
    """Stations with at least ten readings of a variable, all of them zero, as messages name them."""
    series = table.groupby(station_columns(table), sort=False, dropna=False)["value"]
    summary = series.agg(count="size", largest=lambda values: values.abs().max()).reset_index()
    suspect = summary[(summary["count"] >= ZEROS) & (summary["largest"] == 0)]
    return [
        (f"station {row['station']}, " if "station" in row else "")
        + f"{row['variable']} at {row['latitude']:g}, {row['longitude']:g}"
        for row in suspect.to_dict("records")
    ]


def read_table(path: Path, where: str) -> pd.DataFrame:
    """Read a CSV or Parquet file.

    Raises
    ------
    InputError
        For a file that is missing or cannot be read as a table.
    """
    if not path.is_file():
        raise InputError(f"{where} does not exist: check its name.")
    if not path.stat().st_size:
        raise InputError(f"{where} is empty: give a table of observations.")
    try:
        return pd.read_parquet(path) if path.suffix in (".parquet", ".pq") else pd.read_csv(path)
    except UnicodeDecodeError:
        raise InputError(f"{where} is not text in UTF-8: save it as UTF-8.") from None
    except Exception as error:  # whatever a parser raises, the file is not a table
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(
            f"{where} cannot be read as a table, CSV or Parquet ({reason}): give another file."
        ) from error


def canonical_names(table: pd.DataFrame, where: str) -> dict[str, str]:
    """Map the columns of the table that have a meaning to their names in `NAMES`.

    Raises
    ------
    InputError
        For a required column that is missing.
    """
    lower = {str(name).strip().lower(): str(name) for name in table.columns}
    names = [str(name).strip().lower() for name in table.columns]
    for name in (word for alternatives in NAMES.values() for word in alternatives):
        if names.count(name) > 1 or f"{name}.1" in names:  # pandas' name of a second one
            raise InputError(f"{where} has two columns '{name}': keep one.")
    columns = {}
    for name, alternatives in NAMES.items():
        there = [lower[other] for other in alternatives if other in lower]
        if len(there) > 1 and name not in OPTIONAL:
            raise InputError(f"{where} has the columns {' and '.join(there)}: keep one.")
        column = there[0] if there else None
        if column is not None:
            columns[column] = name
        elif name not in OPTIONAL:
            if len(table.columns) == 1 and ";" in str(table.columns[0]):
                raise InputError(f"{where} has columns that semicolons separate: separate columns by commas.")
            raise InputError(
                f"{where} has no column '{name}': it needs time, latitude, longitude, variable and value, one row for "
                f"each observed value; its columns are {', '.join(map(str, table.columns))}."
            )
    return columns


def times(column: pd.Series, where: str) -> pd.Series:
    """Convert times to UTC; a time without a zone counts as UTC, which the log says.

    Raises
    ------
    InputError
        For times that are numbers, missing or unreadable.
    """
    if is_numeric_dtype(column):
        raise InputError(
            f"{where} gives times as numbers ({column.iloc[0]}): write them as 2001-12-31 or 2001-12-31T18:00Z."
        )
    if column.dtype == object:  # dates of cftime, which are not in a zone
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
    """Row, from 1, and text of the first time that is none."""
    for row, value in enumerate(column, start=1):
        try:
            pd.to_datetime(pd.Series([value]), utc=True, format="ISO8601" if isinstance(value, str) else None)
        except (ValueError, TypeError, OverflowError):
            return row, value
    return 1, column.iloc[0]


def numbers(column: pd.Series, where: str) -> pd.Series:
    """Convert a column to numbers, NaN where it is empty.

    Raises
    ------
    InputError
        For a value that is not a number, naming its row.
    """
    values = pd.to_numeric(column, errors="coerce")
    wrong = values.isna() & column.notna() & (column.astype(str).str.strip().str.lower() != "nan")
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(
            f"{where}: '{column.iloc[row]}' in column '{column.name}', row {row + 1}, is not a number: correct it."
        )
    return values.astype(float)


def converted(
    table: pd.DataFrame,
    units: Mapping[str, str],
    where: str,
    whose: str = "the unit that the model was trained in",
) -> pd.DataFrame:
    """The table in the units of each variable; without a column of units its values are taken to be in them.

    `whose` says in messages what these units are.

    Raises
    ------
    InputError
        For a variable without units, that is for one that the model lacks, and for units that do not convert.
    """
    table = table.copy()
    refuse(
        ~table["variable"].isin(list(units)), table, where,
        f"is of a variable that the model lacks (it has {', '.join(units)})",
    )  # fmt: skip
    if "units" not in table:
        return table.assign(units=table["variable"].map(dict(units)))
    refuse(table["units"].isna(), table, where, "has no units, although the table has a column of them")
    for (variable, unit), part in table.groupby(["variable", "units"]):
        change = conversion(str(unit), units[str(variable)])
        if change is None:
            raise InputError(
                f"variable '{variable}' of {where} is in '{unit}', which cannot be converted to "
                f"'{units[str(variable)]}', {whose}: give it in that unit."
            )
        table.loc[part.index, "value"] = part["value"] * change.scale + change.offset
        if "error" in table:
            table.loc[part.index, "error"] = part["error"] * abs(change.scale)
    return table.assign(units=table["variable"].map(dict(units)))


def refuse(wrong: pd.Series, table: pd.DataFrame, where: str, what: str) -> None:
    """Raise an InputError that lists the first of some observations."""
    if not wrong.any():
        return
    rows = "; ".join(observation_text(row) for row in table[wrong].head(LISTED).to_dict("records"))
    count = (
        f"an observation ({rows})"
        if wrong.sum() == 1
        else f"{int(wrong.sum())} observations ({rows}{' ...' * bool(wrong.sum() > LISTED)})"
    )
    raise InputError(f"{where}: {count}, {'which' if wrong.sum() == 1 else 'each of which'} {what}.")


def observation_text(row: Mapping[str, object]) -> str:
    """An observation in a message."""
    name = f"station {row['station']}, " if "station" in row else ""
    place = f"{row['latitude']:g}, {row['longitude']:g}"
    return f"{name}{row['variable']} at {place} on {pd.Timestamp(str(row['time'])).isoformat()}"
