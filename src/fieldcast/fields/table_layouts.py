"""Tables of observations as they come: separators, decimal commas, wide tables, x and y in metres.

`long_table` brings each to one row for each observed value, in the columns of `fields.stations`. A table is wide with a
column for each variable, or a column for each station, whose places are in a list of stations beside it.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_string_dtype

from fieldcast.errors import MAX_LISTED, InputError, counted, listed
from fieldcast.fields.grids import refuse_without_pyproj
from fieldcast.fields.headings import (
    LOCATION,
    NAMES,
    NO_VARIABLE,
    OPTIONAL,
    PROJECTED,
    canonical_names,
    plain,
    units_in,
    with_one_time,
    without_units,
)
from fieldcast.fields.track_files import is_track_file, read_tracks

LOG = logging.getLogger(__name__)
NEEDED = "time, latitude, longitude, variable and value, one row for each observed value"
DECIMALS = 9  # of degrees from x and y, a tenth of a millimetre
SEPARATORS = (";", "\t", "|", ",")
SUFFIXES = (".csv", ".txt", ".tsv", ".dat", ".parquet", ".pq")
WESTERN = "cp1252"  # Windows-1252, the encoding of Western Europe
HEAD = 2**16  # characters in which the line of headings lies
MAX_BESIDE = 200  # largest number of files beside a table among which its list of stations is sought
COMMA = re.compile(r"[-+]?(?:\d{1,3}(?:\.\d{3})+|\d*),\d+(?:[eE][-+]?\d+)?")  # 12,5 and 1.012,5
THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:[,.]\d{3})+")  # 1,012 or 1.012
CONVERSION = "python -c \"import pandas; pandas.read_excel('{0}').to_csv('{1}', index=False)\""


# Files.


def read_table(path: Path, where: str) -> pd.DataFrame:
    """Read a CSV or Parquet file; the cells of text are texts, and numbers have decimal points."""
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
    refuse_excel(path, where)
    if is_track_file(path):
        return read_tracks(path, where)
    refuse_zero_bytes(path, where)
    try:
        return pd.read_parquet(path) if path.suffix in (".parquet", ".pq") else read_text(path, where)
    except InputError:
        raise
    except UnicodeDecodeError:
        raise InputError(f"{where} is text neither in UTF-8 nor in Windows-1252: save it as UTF-8.") from None
    except Exception as error:  # whatever a parser raises, the file is not a table
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(
            f"{where} cannot be read as a table, CSV or Parquet ({reason}): give another file."
        ) from error


def refuse_excel(path: Path, where: str) -> None:
    """Raise an InputError with the line that converts a workbook of Excel or LibreOffice."""
    with path.open("rb") as file:
        head = file.read(8)
    workbook = path.suffix.lower() in (".xls", ".xlsx", ".xlsm", ".xlsb", ".ods")
    if head == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" or (workbook and head.startswith(b"PK")):
        reader = {".xls": "xlrd", ".xlsb": "pyxlsb", ".ods": "odfpy"}.get(path.suffix.lower(), "openpyxl")
        raise InputError(
            f"{where} is a workbook of Excel: save its sheet as CSV, or convert it with "
            f"`{CONVERSION.format(path, path.with_suffix('.csv'))}` (after `pip install {reader}`)."
        )


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


def read_text(path: Path, where: str, rows: int | None = None) -> pd.DataFrame:
    """Read a table of text, whose separator is the first of `SEPARATORS` in its line of headings.

    Lines of comments (#) and Excel's line `sep=;` before the headings are left out; the last of these comments may hold
    the headings. Where columns are not separated by commas, a comma in a number is the decimal one. Commas in numbers
    between commas are refused.
    """
    encoding = encoding_of(path)
    if encoding == WESTERN:
        LOG.warning(
            "%s is not text in UTF-8 and is read as Windows-1252: save it as UTF-8 if letters of names are wrong.",
            where,
        )
    with fsspec.open(str(path), "rt", compression="infer", encoding=encoding) as file:
        lines = file.read(HEAD).splitlines()
    skipped, separator, comment = 0, "", ""
    for line in lines:
        if line.lower().startswith("sep=") and len(line.strip()) == len("sep=;"):
            separator = line.strip()[-1]
        elif line.startswith("#"):
            comment = line
        elif line.strip():
            break
        skipped += 1
    heading = re.sub(r'"[^"]*"', "", lines[skipped] if skipped < len(lines) else "")
    separator = separator or next((each for each in SEPARATORS if each in heading), ",")
    names = [name.strip() for name in comment.strip("# ").split(separator)]
    in_comment = (
        len(names) > 1 and len(names) == heading.count(separator) + 1 and heading.strip()[:1].isdigit()
    )
    options: dict[str, Any] = {"names": names, "header": None} if in_comment else {}
    ruled = re.fullmatch(r"[-= ]*[-=]{3}[-= ]*", lines[skipped + 1] if len(lines) > skipped + 1 else "")
    if ruled and not any(each in heading for each in SEPARATORS):
        return words_below_a_ruler(path, encoding, skipped, where)
    options |= {"dtype": str, "nrows": rows, "encoding": encoding}
    table = pd.read_csv(path, sep=separator, skiprows=skipped, skipinitialspace=True, **options)
    if not isinstance(table.index, pd.RangeIndex):
        table = without_more_cells(table, where)
    names = [str(name) for name in table.columns]
    if len(names) > 1 and re.match(r"\d", names[0]) and any(map(is_number, names[1:])):
        raise InputError(
            f"{where} has no line of headings: write one above it, such as time,lat,lon,variable,value."
        )
    return table if separator == "," else table.apply(with_points, args=(where,))


def words_below_a_ruler(path: Path, encoding: str, skipped: int, where: str) -> pd.DataFrame:
    """The words of each row below headings and a ruler, as in the lists of stations of the German weather service.

    Their names, which hold spaces, stand behind the numbers and are cut.
    """
    with fsspec.open(str(path), "rt", compression="infer", encoding=encoding) as file:
        lines = file.read().splitlines()[skipped:]
    names = lines[0].split()
    rows = [line.split(maxsplit=len(names) - 1) for line in lines[2:] if line.strip()]
    short = [number for number, row in enumerate(rows, start=1) if len(row) < len(names)]
    if short:
        raise InputError(
            f"{where} has {len(names)} headings above a ruler, but fewer words in row {short[0]}: give it with a "
            "separator between its columns, such as a comma."
        )
    return pd.DataFrame(rows, columns=names)


def encoding_of(path: Path) -> str:
    """UTF-8, or the UTF-16 of Excel's text, which begins with its mark; else the Windows-1252 of Western Europe."""
    with fsspec.open(str(path), "rb", compression="infer") as file:
        first = file.read(HEAD)
        if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        try:
            while first:
                decoder.decode(first)
                first = file.read(HEAD)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return WESTERN
    return "utf-8-sig"


def without_more_cells(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """A table whose rows have more cells than its headings, if those at their ends are empty."""
    names, whole = list(table.columns), table.reset_index()
    if whole.iloc[:, len(names) :].notna().to_numpy().any():
        raise InputError(
            f"{where} has {counted(len(names), 'heading')}, but rows of {len(whole.columns)} cells: separate its cells "
            "by semicolons if its numbers have decimal commas, or add headings."
        )
    whole = whole.iloc[:, : len(names)]
    whole.columns = pd.Index(names)
    return whole


def is_number(text: str) -> bool:
    """Whether a heading is a number, as in the first row of a table without headings."""
    return re.fullmatch(r"[-+]?\d+([.,]\d+)?", text.strip()) is not None


def with_points(column: pd.Series, where: str) -> pd.Series:
    """Write numbers with decimal commas, such as 12,5 and 1.012,5, with decimal points."""
    if not is_string_dtype(column):
        return column
    text = column.str.strip()
    comma = text.str.fullmatch(COMMA).fillna(False).astype(bool)
    if not comma.any():
        return column
    points = text.str.fullmatch(r"[-+]?\d+\.\d+").fillna(False).astype(bool)
    if (both := points & ~text.str.fullmatch(THOUSANDS).fillna(False).astype(bool)).any():
        raise InputError(
            f"{where} has numbers with a decimal comma ({text[comma].iloc[0]}) and others with a decimal point "
            f"({text[both].iloc[0]}) in its column '{column.name}': write all of them in one way."
        )
    changed = comma | points
    plain = text[changed].str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    return column.where(~changed, plain.reindex(column.index))


# Layouts.


def long_table(
    table: pd.DataFrame, places: pd.DataFrame | Path | None, where: str, columns: Mapping[str, str],
    crs: str | None,
) -> pd.DataFrame:  # fmt: skip
    """One row for each observed value, in the columns of `NAMES`.

    Parameters
    ----------
    table
        The table as it is.
    places
        The list of stations of a table without latitudes and longitudes, or the path of the table, beside which it is.
    where
        Name of the table in messages.
    columns
        Heading of each column by its name, or by the name of a variable.
    crs
        Coordinate reference system of x and y.
    """
    value_name = columns.get("value", "value")
    if "value" in columns and value_name.lower() not in [str(name).strip().lower() for name in table.columns]:
        columns = {
            name: heading for name, heading in columns.items() if name != "value"
        }  # a column a station
    elif not isinstance(places, pd.DataFrame) and places is not None and "value" not in columns:
        value_name = places.stem.split(".")[0]
    table = with_one_time(table, columns)
    table = with_one_track(table, columns)
    headings = dict(zip(map(str, table.columns), table.columns, strict=True))
    named = canonical_names(table, where, columns)
    units = {name: units_in(heading) for heading, name in named.items()}
    value_heading = next((without_units(heading) for heading, name in named.items() if name == "value"), "")
    table = table.rename(columns={headings[heading]: name for heading, name in named.items()})
    require(table, "time", where)
    table = with_degrees(table, units, crs, where)
    if not set(LOCATION) <= set(table):
        refuse_without_crs(table, where)
        for name in LOCATION:
            if name in table or ("station" not in table and "value" in table):
                require(table, "latitude", where)
                require(table, "longitude", where)
        table = with_places(table, places, where, columns, crs, value_name)
    elif crs is not None and "x" not in table:
        raise InputError(
            f"{where} has no columns x and y, whose coordinate reference system --crs names: leave it out, or name "
            "them with --columns x=HEADING,y=HEADING."
        )
    variables = [name for name in columns if name not in NAMES and name not in PROJECTED]
    table = with_value(table, variables, value_heading, where)
    if units.get("value") and "units" not in table:
        table = table.assign(units=units["value"])
    for name in NAMES:
        if name not in OPTIONAL:
            require(table, name, where)
    return table[[name for name in NAMES if name in table]].reset_index(drop=True)


def with_one_track(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """A table with one column `track` in place of several that name a track together: satellite, cycle and pass."""
    several = [name for name in table if plain(name) in NAMES["track"]]
    if "track" in columns or len(several) < 2:
        return table
    texts = [identities(table[name]) for name in several]
    joined = texts[0].str.cat(texts[1:], sep=" ")
    return table.drop(columns=several).assign(track=joined)


def require(table: pd.DataFrame, name: str, where: str) -> None:
    """Raise an InputError for a table without a column."""
    if name not in table:
        beside = (
            " (or, in a wide table, a column of times and one for each station)" if name == "time" else ""
        )
        if name in LOCATION:
            beside = " (or a list of stations beside it, with station, latitude and longitude)"
        raise InputError(
            f"{where} has no column '{name}': it needs {NEEDED}{beside}; its columns are "
            f"{', '.join(map(str, table.columns))}; --columns {name}=HEADING names one of them."
        )


def with_value(table: pd.DataFrame, variables: Sequence[str], value_heading: str, where: str) -> pd.DataFrame:
    """A table with the columns `variable` and `value`, from a column for each variable if it has no `value`."""
    if "value" in table:
        if "variable" in table:
            return table
        LOG.info("%s: its variable is called '%s', as the column of its values is.", where, value_heading)
        return table.assign(variable=value_heading)
    known = {other for alternatives in (*NAMES.values(), *PROJECTED.values()) for other in alternatives}
    rest = list(variables) or [
        name
        for name in table
        if plain(name) not in known
        and not NO_VARIABLE.search(plain(name))
        and has_numbers(table[name], where)
    ]
    if "variable" in table and len(rest) == 1:
        LOG.info("%s: its values are those of the column '%s'.", where, rest[0])
        return table.rename(columns={rest[0]: "value"})
    if not rest or "variable" in table:
        require(table, "value", where)
    units = [units_in(name) for name in rest]
    others = [name for name in table if name in NAMES]
    left_out = [
        str(name) for name in table if name not in NAMES and name not in rest and name not in PROJECTED
    ]
    without = f"; left out: {listed(left_out, len(left_out))}" if left_out else ""
    LOG.info("%s: a column for each variable: %s%s.", where, ", ".join(map(str, rest)), without)
    parts = []
    for name, unit in zip(rest, units, strict=True):
        part = table[others].assign(variable=without_units(name), value=table[name])
        parts.append(part.assign(units=unit or "1") if any(units) and "units" not in others else part)
    return pd.concat(parts, ignore_index=True)


def has_numbers(column: pd.Series, where: str) -> bool:
    """Whether a column holds numbers and nothing else."""
    if is_numeric_dtype(column):
        return bool(column.notna().any())
    present = column.dropna()
    numbers = (
        pd.to_numeric(with_points(present, where), errors="coerce") if is_string_dtype(present) else None
    )
    return numbers is not None and bool(len(present)) and bool(numbers.notna().all())


# Places: x and y in metres, and lists of stations.


def refuse_without_crs(table: pd.DataFrame, where: str) -> None:
    """Raise an InputError for x and y without a coordinate reference system."""
    if set(PROJECTED) <= set(table):
        raise InputError(
            f"{where} has x and y instead of latitudes and longitudes: name their coordinate reference system, such as "
            "--crs EPSG:25832."
        )


def with_degrees(
    table: pd.DataFrame, units: Mapping[str, str | None], crs: str | None, where: str
) -> pd.DataFrame:
    """A table with latitudes and longitudes from its x and y, in metres or in the kilometres of their headings."""
    if crs is None or not set(PROJECTED) <= set(table):
        return table
    refuse_without_pyproj(f"{where} has x and y, for which --crs {crs}")
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError

    try:
        system = CRS.from_user_input(crs)
    except CRSError as error:
        raise InputError(
            f"the coordinate reference system '{crs}' is unknown to PROJ: give a code, such as --crs EPSG:25832."
        ) from error
    xy = []
    for name in PROJECTED:
        numbers = pd.to_numeric(with_points(table[name], where), errors="coerce")
        if numbers.isna().any():
            row = int(numbers.isna().to_numpy().argmax())
            raise InputError(
                f"{where}: '{table[name].iloc[row]}' in column '{name}', row {row + 1}, is not a number."
            )
        xy.append(numbers.to_numpy(float) * (1e3 if units.get(name) == "km" else 1.0))
    to_degrees = Transformer.from_crs(system, "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(*xy)
    area = system.area_of_use
    inside = np.isfinite(longitude) & np.isfinite(latitude)
    if area is not None and area.west < area.east:
        near = 5.0  # degrees
        inside &= (latitude > area.south - near) & (latitude < area.north + near)
        inside &= (longitude > area.west - near) & (longitude < area.east + near)
    if not inside.all():
        row = int((~inside).argmax())
        raise InputError(
            f"{where}: {counted(int((~inside).sum()), 'row lies', 'rows lie')} outside the area of {crs}, the first "
            f"at x {xy[0][row]:.10g}, y {xy[1][row]:.10g}: check the code, whether x and y are swapped, and whether "
            "they are in metres."
        )
    return table.assign(latitude=latitude.round(DECIMALS), longitude=longitude.round(DECIMALS))


def with_places(
    table: pd.DataFrame, places: pd.DataFrame | Path | None, where: str, columns: Mapping[str, str],
    crs: str | None, value_name: str,
) -> pd.DataFrame:  # fmt: skip
    """A table with the places of its stations, which are in a list; a column for each station becomes rows."""
    wide = "station" not in table
    rest = [name for name in table if name not in NAMES and not NO_VARIABLE.search(plain(name))]
    ids = [str(name) for name in rest] if wide else identities(table["station"]).unique().tolist()
    units: list[str | None] = [None] * len(rest)
    if wide and all(str(name).rstrip().endswith("]") for name in rest):
        plainly = [without_units(name) for name in rest]
        if len({*plainly}) == len(rest):
            ids, units = plainly, [units_in(name) for name in rest]
    list_name, of_stations = list_of_stations(places, ids, where, columns, crs)
    if of_stations is None:
        require(table, "latitude", where)
    assert of_stations is not None
    if wide:
        others = [name for name in table if name in NAMES]
        parts = [
            table[others].assign(
                station=station,
                variable=value_name,
                value=table[name],
                **({"units": unit} if unit and "units" not in others else {}),
            )
            for station, name, unit in zip(ids, rest, units, strict=True)
        ]
        LOG.info("%s: a column for each of %d stations, which are in %s.", where, len(ids), list_name)
        table = pd.concat(parts, ignore_index=True)
    key = identities(table["station"])
    if not set(key) <= set(of_stations.index):
        key = key.str.lstrip("0")
        of_stations = of_stations.set_axis(of_stations.index.str.lstrip("0"))
    added = [name for name in of_stations if name not in table]
    matched = of_stations.loc[key, added].set_axis(table.index)
    return pd.concat([table, matched], axis=1)


def identities(column: pd.Series) -> pd.Series:
    """Names or numbers of stations as texts."""
    return column.astype(str).str.strip().str.replace(r"\.0$", "", regex=True)


def list_of_stations(
    places: pd.DataFrame | Path | None, ids: Sequence[str], where: str, columns: Mapping[str, str], crs: str | None
) -> tuple[str, pd.DataFrame | None]:  # fmt: skip
    """Name of the list that holds some stations, and its columns of `NAMES` by station; None without a list.

    Among the files beside a table, it is the one that holds all of its stations.
    """
    partial: list[tuple[str, list[str]]] = []
    whole: list[tuple[str, pd.DataFrame]] = []
    for name, table in lists(places, where):
        for of_stations in indexed(table, name, columns, crs):
            missing = missing_ids(ids, of_stations)
            if missing and len(missing) < len(ids):
                partial.append((name, missing))
            elif not missing:
                whole.append((name, of_stations))
                break
    if len(whole) > 1:
        raise InputError(
            f"{where} has several lists of its stations beside it ({listed([name for name, _ in whole], len(whole))}): "
            "keep one."
        )
    if whole:
        name, of_stations = whole[0]
        of_stations = of_stations[~of_stations.reset_index().duplicated().to_numpy()]
        twice = of_stations.index[of_stations.index.duplicated()]
        if used := [each for each in twice if each in set(ids)]:
            raise InputError(f"{name} has several places of station {used[0]}: keep one.")
        return name, of_stations[~of_stations.index.duplicated()]
    if partial:
        name, missing = min(partial, key=lambda each: len(each[1]))
        raise InputError(
            f"{where} has stations that are not in {name} ({listed(missing[:MAX_LISTED], len(missing))}): add their "
            "latitudes and longitudes, or leave them out."
        )
    return "", None


def missing_ids(ids: Sequence[str], of_stations: pd.DataFrame) -> list[str]:
    """Stations that a list lacks, whether or not their numbers begin with zeros."""
    present = set(of_stations.index)
    bare = {each.lstrip("0") for each in present}
    if all(each.lstrip("0") in bare for each in ids):
        return []
    return [each for each in ids if each not in present]


def lists(places: pd.DataFrame | Path | None, where: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield name and table of each list of stations that is given, or that may be one beside a file."""
    if isinstance(places, pd.DataFrame):
        yield "the list of stations", places
    if not isinstance(places, Path):
        return
    files = sorted(
        file
        for file in places.parent.iterdir()
        if file.suffix.lower() in SUFFIXES and file.is_file() and file != places
    )
    for file in files[:MAX_BESIDE]:
        try:
            head = (
                pd.read_parquet(file) if file.suffix in (".parquet", ".pq") else read_text(file, str(file), 2)
            )
            plains = {plain(name) for name in head.columns}
            located = [set(NAMES[axis]) & plains for axis in LOCATION] + [
                set(words) & plains for words in PROJECTED.values()
            ]
            is_list = (all(located[:2]) or all(located[2:])) and not plains & set(NAMES["value"])
            if not is_list or not plains & set(NAMES["station"]) or plains & set(NAMES["time"]):
                continue
            table = head if file.suffix in (".parquet", ".pq") else read_text(file, str(file))
        except Exception:  # another file of any kind, which is none of the table's
            continue
        yield f"'{file.name}'", table


def indexed(
    table: pd.DataFrame, name: str, columns: Mapping[str, str], crs: str | None
) -> Iterator[pd.DataFrame]:
    """Yield the places of a list by each of its columns that may name stations."""
    headings = [str(each).strip().lower() for each in table.columns]
    present = {
        key: heading for key, heading in columns.items() if heading.lower() in headings and key != "station"
    }
    named = canonical_names(table, name, present)
    units = {key: units_in(heading) for heading, key in named.items()}
    renamed = table.rename(columns={heading: key for heading, key in named.items() if key != "station"})
    located = with_degrees(renamed, units, crs, name)
    if not set(LOCATION) <= set(located):
        refuse_without_crs(located, name)
        return
    kept = [key for key in located if key in NAMES and key not in ("time", "value", "variable", "station")]
    keys = [each for word in NAMES["station"] for each in table.columns if plain(each) == word]
    if "station" in columns and columns["station"].lower() in headings:
        keys = [table.columns[headings.index(columns["station"].lower())], *keys]
    for key in keys:
        column = located["station"] if key not in located else located[key]
        yield located[kept].set_axis(pd.Index(identities(column)))
