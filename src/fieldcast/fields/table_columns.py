"""Files of observations as tables: their columns by common names, times in UTC, numbers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import cftime
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_string_dtype

from fieldcast.errors import InputError

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


def read_table(path: Path, where: str) -> pd.DataFrame:
    """Read a CSV or Parquet file.

    Raises
    ------
    InputError
        For a file that is missing or cannot be read as a table.
    """
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
