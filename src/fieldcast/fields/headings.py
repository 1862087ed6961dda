"""Headings of tables of observations: the names of columns in English and German, and units in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from fieldcast.errors import InputError

NAMES: Mapping[str, Sequence[str]] = {
    "time": (
        *("time", "date", "datetime", "valid_time", "timestamp", "date_time"),
        *("datum", "zeit", "zeitpunkt", "mess_datum", "yyyymmdd", "yearmoda", "fecha"),
    ),
    "latitude": ("latitude", "lat", "latitude_deg", "latitud", "geobreite", "geogr_breite", "breite", "breitengrad"),
    "longitude": (
        *("longitude", "lon", "lng", "long", "longitude_deg", "longitud"),
        *("geolaenge", "geolänge", "geogr_laenge", "geogr_länge", "laenge", "länge", "längengrad", "laengengrad"),
    ),
    "variable": ("variable", "parameter", "element", "datatype"),
    "value": ("value", "observation", "observed", "obs", "data_value", "wert", "messwert", "valeur", "valor"),
    "elevation": ("elevation", "altitude", "elev", "alt", "height", "stationshoehe", "stationshöhe"),
    "error": ("error", "uncertainty", "sigma", "observation_error"),
    "units": ("units", "unit", "einheit"),
    "station": (
        *("station", "station_id", "stations_id", "id", "stationid", "site", "site_id", "wmo", "stn"),
        *("poste", "num_poste"),
        *("name", "station_name", "stationsname"),
    ),
    "track": (
        *("track", "trajectory", "pass", "pass_number", "cycle", "platform", "platform_number", "cruise", "ship"),
        *("satellite", "mission", "drifter", "buoy_id"),
    ),
}  # fmt: skip
OPTIONAL = ("error", "units", "station", "track", "elevation")
PROJECTED: Mapping[str, Sequence[str]] = {
    "x": ("x", "easting", "rechtswert", "ostwert", "x_coord", "xcoord", "coord_x", "utm_x"),
    "y": ("y", "northing", "hochwert", "nordwert", "y_coord", "ycoord", "coord_y", "utm_y"),
}
LOCATION = ("latitude", "longitude")
# words that separate a date from the hour of the day, and the parts of a date
DAYS = ("date", "datum", "day_date", "mess_datum")
CLOCKS = ("time", "hour", "zeit", "uhrzeit", "stunde")
PARTS = (("year", "jahr"), ("month", "monat"), ("day", "tag"), ("hour", "stunde"), ("minute",))
CLOCK = r"^(?:\d{1,2}(?::\d{2}){0,2}|\d{3,4})$"
# columns of numbers that are no variable: heights of stations, marks of quality, ends of lines, parts of a date
NO_VARIABLE = re.compile(
    r"^(elev(ation)?|alt(itude)?|height|stationsh(oe|ö)he|h(oe|ö)he|eor|qn_?\d*|qc|quality.*|flags?|unnamed.*|index|"
    r"von_datum|bis_datum|frshtt|wban|usaf|country|state|obs_time|"
    + "|".join(part for parts in PARTS for part in parts)
    + r")$|_(attributes|flags?|qc|quality)$|^(qc?|m|s)_?flags?",
    re.I,
)
BRACKETS = re.compile(r"\s*[\[(]\s*([^\])]*?)\s*[\])]\s*$")  # units after a heading: rain [mm]


def plain(heading: object) -> str:
    """A heading in lower case, without units in brackets, with _ for spaces and points."""
    text = BRACKETS.sub("", str(heading).strip().lstrip("\ufeff#")).strip().lower()
    return re.sub(r"[\s.]+", "_", text)


def without_units(heading: object) -> str:
    """A heading without the units in brackets after it."""
    return BRACKETS.sub("", str(heading)).strip()


def units_in(heading: object) -> str | None:
    """The units in brackets after a heading."""
    match = BRACKETS.search(str(heading))
    return match[1] if match and match[1] else None


def canonical_names(table: pd.DataFrame, where: str, columns: Mapping[str, str]) -> dict[str, str]:
    """Map the headings of a table that have a meaning to their names; `columns` says which heading a name has."""
    headings = [str(name) for name in table.columns]
    lower = [str(name).strip().lower() for name in table.columns]
    for name in (word for alternatives in NAMES.values() for word in alternatives):
        if lower.count(name) > 1 or f"{name}.1" in lower:  # pandas' name of a second one
            raise InputError(f"{where} has two columns '{name}': keep one.")
    named: dict[str, str] = {}
    for name, heading in columns.items():
        match = [
            each
            for each in headings
            if heading.lower() in (each.strip().lower(), without_units(each).lower())
        ]
        if not match:
            raise InputError(
                f"{where} has no column '{heading}', which --columns gives as its {name}; its columns are "
                f"{', '.join(headings)}."
            )
        named[match[0]] = name
    for name, alternatives in {**NAMES, **PROJECTED}.items():
        if name in named.values():
            continue
        present = [
            each for other in alternatives for each in headings if plain(each) == other and each not in named
        ]
        if len(present) > 1 and name not in OPTIONAL:
            raise InputError(f"{where} has the columns {' and '.join(present)}: keep one.")
        if present:
            named[present[0]] = name
    return named


def with_one_time(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """A table with a column `time` in place of a date and an hour, or of year, month and day."""
    if "time" in columns:
        return table
    at = {plain(name): name for name in table.columns}
    day = next((at[name] for name in DAYS if name in at), None)
    clock = next((at[name] for name in CLOCKS if name in at), None)
    parts = [next((at[name] for name in names if name in at), None) for names in PARTS]
    if day is not None and clock is not None and day != clock:
        text = table[clock].astype(str).str.strip().str.replace(r"\.0+$", "", regex=True)
        if not text.str.fullmatch(CLOCK).all():
            return table
        date = table[day].astype(str).str.strip().str.replace(r"[T ]00:00(:00)?$", "", regex=True)
        date = date.str.replace(r"^(\d{4})(\d\d)(\d\d)(\.0)?$", r"\1-\2-\3", regex=True)
        return table.drop(columns=[day, clock]).assign(time=date + " " + text.map(clock_text))
    if None not in parts[:3] and day is None and not set(at) & set(NAMES["time"]):
        numbers = [pd.to_numeric(table[part], errors="coerce") for part in parts if part is not None]
        if any(number.isna().any() for number in numbers):
            return table
        texts = [number.astype(int).astype(str).str.zfill(2) for number in numbers]
        time = texts[0] + "-" + texts[1] + "-" + texts[2]
        if len(texts) > 3:
            time = time + " " + texts[3] + ":" + (texts[4] if len(texts) > 4 else "00")
        return table.drop(columns=[part for part in parts if part is not None]).assign(time=time)
    return table


def clock_text(text: str) -> str:
    """An hour of the day as HH:MM or HH:MM:SS: 6, 600, 0600, 6:00."""
    if ":" in text:
        return text.zfill(len(text) + text.find(":") % 2)
    return f"{text.zfill(2)}:00" if len(text) < 3 else f"{text.zfill(4)[:2]}:{text[-2:]}"
