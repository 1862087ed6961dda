"""Tables in every layout hold the readings of one plain table."""

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from fieldcast.errors import InputError
from fieldcast.fields.options import columns_of
from fieldcast.fields.stations import Source, read_stations

IDS = ["00044", "00073", "01048"]
WHERE = "the table of stations"


def plain(variables: tuple[str, ...] = ("rain",)) -> pd.DataFrame:
    """Readings of three stations on four days."""
    days = pd.DataFrame({"time": pd.date_range("2001-12-28", periods=4)})
    places = pd.DataFrame(
        {"station": IDS, "latitude": [52.93, 48.61, 51.13], "longitude": [8.24, 13.05, 13.75]}
    )
    table = pd.concat(
        [days.merge(places, "cross").assign(variable=name) for name in variables], ignore_index=True
    )
    return table.assign(value=np.random.default_rng(0).uniform(0, 1500, len(table)).round(1))


def places() -> pd.DataFrame:
    """The list of stations."""
    return plain()[["station", "latitude", "longitude"]].drop_duplicates()


def wide(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """A column for each station, or for each variable."""
    index = ["time"] if by == "station" else ["time", "station", "latitude", "longitude"]
    return table.pivot(index=index, columns=by, values="value").reset_index().rename_axis(columns=None)


def assert_same(source: Source, expected: pd.DataFrame, **options: object) -> pd.DataFrame:
    """Whether a source is read as the expected readings, in any order."""
    read = read_stations(source, WHERE, **options)  # type: ignore[arg-type]
    order = [name for name in ("variable", "time", "latitude") if name in expected]
    columns = [name for name in expected if name != "units"]
    pd.testing.assert_frame_equal(
        read.sort_values(order, ignore_index=True)[columns],
        expected.sort_values(order, ignore_index=True)[columns].astype({"time": "M8[s]"}),
        check_dtype=False,
    )
    return read


def written(path: Path, table: pd.DataFrame, heading: str = "", **options: object) -> Path:
    """A file of text, with other lines before its headings."""
    text = io.StringIO()
    table.to_csv(text, index=False, **options)  # type: ignore[call-overload]
    path.write_text(heading + text.getvalue(), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("separator", "decimal", "heading"),
    [(";", ",", ""), (";", ".", ""), ("\t", ",", ""), ("|", ".", "# by hand\n\n"), (";", ",", "sep=;\n"),
     (",", ".", "\ufeff"), (",", ".", "# of 2001\n")],
)  # fmt: skip
def test_separators_and_decimal_commas(separator: str, decimal: str, heading: str, tmp_path: Path) -> None:
    path = written(tmp_path / "rain.csv", plain(), heading, sep=separator, decimal=decimal)
    assert_same(path, plain())


def test_thousands_have_points_beside_decimal_commas(tmp_path: Path) -> None:
    table = plain()
    german = [f"{value:,.1f}".translate(str.maketrans(",.", ".,")) for value in table["value"]]
    assert any("." in text for text in german)
    assert_same(written(tmp_path / "rain.csv", table.assign(value=german), sep=";"), table)
    assert_same(table.assign(value=[text.replace(".", "") for text in german]), table)  # texts of a frame
    both = table.assign(value=["12,5", "12.5", *german[2:]])
    with pytest.raises(InputError, match=r"decimal comma \(12,5\) and others with a decimal point \(12.5\)"):
        read_stations(written(tmp_path / "both.csv", both, sep=";"), WHERE)
    with pytest.raises(
        InputError, match="'1,012' in column 'value', row 1, is not a number"
    ):  # 1012 or 1.012
        read_stations(table.assign(value=["1,012", *table["value"].astype(str)[1:]]), WHERE)


def test_commas_for_decimals_and_cells_are_refused(tmp_path: Path) -> None:
    text = plain().to_csv(index=False, decimal=",").replace('"', "")
    (tmp_path / "rain.csv").write_text(text)
    with pytest.raises(
        InputError, match="has 6 headings, but rows of 9 cells: separate its cells by semicolons"
    ):
        read_stations(tmp_path / "rain.csv", WHERE)
    lines = plain().to_csv(index=False).splitlines()
    (tmp_path / "ends.csv").write_text("\n".join([lines[0], *(f"{line}," for line in lines[1:])]))
    assert_same(tmp_path / "ends.csv", plain())
    (tmp_path / "none.csv").write_text("\n".join(lines[1:]))
    with pytest.raises(InputError, match="has no line of headings"):
        read_stations(tmp_path / "none.csv", WHERE)


def test_headings_may_be_in_a_comment(tmp_path: Path) -> None:
    """KNMI: the last of many comments has the headings."""
    table = plain()
    names = {"station": "STN", "time": "YYYYMMDD", "value": "RH", "latitude": "lat", "longitude": "lon"}
    knmi = table.assign(time=table["time"].dt.strftime("%Y%m%d"))[list(names)].rename(columns=names)
    path = written(tmp_path / "knmi.txt", knmi, "# from KNMI, in tenths\n# ")
    assert_same(path, table.assign(variable="RH"))


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zip"])
def test_compressed_tables_are_read(suffix: str, tmp_path: Path) -> None:
    plain().to_csv(tmp_path / f"rain{suffix}", index=False, sep=";", decimal=",")
    assert_same(tmp_path / f"rain{suffix}", plain())


def test_a_column_for_each_station_with_a_list_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path / "rain.csv", wide(plain(), "station"), sep=";", decimal=",")
    with pytest.raises(InputError, match=r"has no column 'latitude'.*or a list of stations beside it"):
        read_stations(path, WHERE)
    written(tmp_path / "other.csv", places().assign(station=["a", "b", "c"]))
    (tmp_path / "notes.txt").write_text("nothing;here\n")
    written(
        tmp_path / "stations.csv",
        places().assign(station=["44", "73", "1048"], name="Ort"),
        sep=";",
        decimal=",",
    )
    read = assert_same(path, plain())
    assert sorted(set(read["station"])) == IDS
    assert_same(path, plain().assign(variable="tp"), columns={"value": "tp"})
    assert_same((wide(plain(), "station"), places()), plain().assign(variable="value"))
    with_units = wide(plain(), "station").rename(
        columns=lambda name: name if name == "time" else f"{name} [mm]"
    )
    assert_same((with_units, places()), plain().assign(variable="value", units="mm"))
    written(tmp_path / "again.csv", places())
    with pytest.raises(
        InputError, match=r"several lists of its stations beside it \('again.csv'; 'stations.csv'\)"
    ):
        read_stations(path, WHERE)
    (tmp_path / "again.csv").unlink()
    written(tmp_path / "stations.csv", places().iloc[:2])
    with pytest.raises(
        InputError, match=r"stations that are not in 'stations.csv' \(01048\): add their latitudes"
    ):
        read_stations(path, WHERE)


def test_rows_of_stations_with_a_list_beside_them(tmp_path: Path) -> None:
    """DWD: the place of a station may change; the list has a row for each."""
    dwd = plain()[["station", "time", "value"]].assign(QN_9=3, eor="eor")
    dwd = dwd.assign(time=dwd["time"].dt.strftime("%Y%m%d%H"))
    dwd = dwd.rename(columns={"station": "STATIONS_ID", "time": "MESS_DATUM", "value": "RSK"})
    path = written(tmp_path / "produkt.txt", dwd, sep=";")
    stations = places().rename(
        columns={"station": "Stations_id", "latitude": "geoBreite", "longitude": "geoLaenge"}
    )
    stations = stations.assign(Stationshoehe=44, Stationsname="Ort")
    written(tmp_path / "liste.csv", pd.concat([stations, stations]), sep=";", decimal=",")
    assert_same(path, plain().assign(variable="RSK"))
    (tmp_path / "liste.csv").unlink()
    heading = "Stations_id von_datum bis_datum Stationshoehe geoBreite geoLaenge Stationsname Bundesland"
    ruler = (
        "----------- --------- --------- ------------- --------- --------- -------------------- ----------"
    )
    rows = (
        f"{row.Stations_id:>5} 19370101 20111231 {44:>14} {row.geoBreite:>11.4f} {row.geoLaenge:>9.4f} "
        f"{'Großer Ort' if number else 'Ä-Dorf':<20} Baden-Württemberg"
        for number, row in enumerate(stations.itertuples())
    )
    (tmp_path / "Beschreibung.txt").write_text("\n".join([heading, ruler, *rows]), encoding="latin-1")
    assert (assert_same(path, plain().assign(variable="RSK"))["elevation"] == 44).all()
    (tmp_path / "Beschreibung.txt").unlink()
    moved = stations.assign(geoBreite=stations["geoBreite"] + 0.1)
    written(tmp_path / "liste.csv", pd.concat([stations, moved]), sep=";")
    with pytest.raises(InputError, match=r"'liste.csv' has several places of station 00044: keep one"):
        read_stations(path, WHERE)


def test_a_column_for_each_variable(caplog: pytest.LogCaptureFixture) -> None:
    table = plain(("PRCP", "TMAX"))
    by_variable = wide(table, "variable")
    ghcn = by_variable.rename(columns={"time": "DATE", "station": "STATION", "latitude": "LATITUDE"})
    ghcn = ghcn.assign(
        NAME="PLACE, GM", ELEVATION=3.0, PRCP_ATTRIBUTES=",,E", TMAX_ATTRIBUTES=1.0, WBAN=99999
    )
    caplog.set_level("INFO")
    assert (assert_same(ghcn, table)["elevation"] == 3.0).all()
    assert "a column for each variable: PRCP, TMAX; left out: NAME; PRCP_ATTRIBUTES" in caplog.text
    assert_same(ghcn, table[table["variable"] == "TMAX"], columns={"TMAX": "TMAX"})
    renamed = table.replace({"variable": {"PRCP": "tp"}})
    assert_same(ghcn, renamed[renamed["variable"] == "tp"], columns={"tp": "PRCP"})
    units = by_variable.rename(
        columns={"PRCP": "rain [mm]", "TMAX": "t2m (degC)", "latitude": "Latitude (deg)"}
    )
    read = assert_same(units, table.replace({"variable": {"PRCP": "rain", "TMAX": "t2m"}}))
    assert read.groupby("variable")["units"].first().to_dict() == {"rain": "mm", "t2m": "degC"}


def test_other_headings_are_named() -> None:
    german = (
        plain()
        .rename(columns={"time": "Messzeit", "value": "Niederschlag", "station": "Ort"})
        .drop(columns="variable")
    )
    expected = plain().assign(variable="Niederschlag")
    assert_same(german, expected, columns="time=Messzeit,value=Niederschlag,station=Ort")
    assert_same(german, expected, columns={"time": "messzeit", "value": "niederschlag", "station": "Ort"})
    with pytest.raises(
        InputError, match="has no column 'Zeit', which --columns gives as its time; its columns are"
    ):
        read_stations(german, WHERE, "time=Zeit")
    for wrong, message in (
        ("Messzeit", "'Messzeit' is no pair"), ("time=a,time=b", "one of them twice"), (3, "columns are 3"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            columns_of(wrong)


@pytest.mark.parametrize("layout", ["hour", "clock", "parts"])
def test_a_time_may_be_in_several_columns(layout: str) -> None:
    """Meteostat: date and hour, or year, month, day and hour."""
    table = plain()
    table["time"] = table["time"] + pd.to_timedelta(np.repeat([0, 6, 12, 23], 3), "h")
    day, hour, rest = table["time"].dt.strftime("%Y-%m-%d"), table["time"].dt.hour, table.drop(columns="time")
    split = {
        "hour": rest.assign(date=day, hour=hour),
        "clock": rest.assign(Datum=day.str.replace("-", ""), Uhrzeit=hour.astype(str) + ":00"),
        "parts": rest.assign(
            year=table["time"].dt.year, month=table["time"].dt.month, day=table["time"].dt.day, hour=hour
        ),
    }  # fmt: skip
    assert_same(split[layout], table)


@pytest.mark.parametrize("unit", ["", " [m]", " [km]"])
def test_x_and_y_with_a_coordinate_reference_system(unit: str, tmp_path: Path) -> None:
    """UTM: the expected places are those of PROJ."""
    table, scale = plain(), 1e-3 if "km" in unit else 1.0
    forward = Transformer.from_crs("EPSG:4326", "EPSG:25833", always_xy=True)
    x, y = forward.transform(table["longitude"], table["latitude"])
    metres = table.drop(columns=["latitude", "longitude"]).assign(
        **{f"Rechtswert{unit}": x * scale, f"Hochwert{unit}": y * scale}
    )
    path = written(tmp_path / "rain.csv", metres, sep=";", decimal=",")
    assert_same(path, table, crs="EPSG:25833")
    with pytest.raises(
        InputError, match=r"has x and y instead of latitudes and longitudes: name .* --crs EPSG:25832"
    ):
        read_stations(path, WHERE)
    with pytest.raises(InputError, match="'EPSG:1' is unknown to PROJ"):
        read_stations(path, WHERE, crs="EPSG:1")
    with pytest.raises(InputError, match="has no columns x and y"):
        read_stations(table, WHERE, crs="EPSG:25833")
    if not unit:
        swapped = metres.rename(columns={"Rechtswert": "Hochwert", "Hochwert": "Rechtswert"})
        with pytest.raises(InputError, match="12 rows lie outside the area of EPSG:25833, the first at x"):
            read_stations(swapped, WHERE, crs="EPSG:25833")
        named = metres.rename(columns={"Rechtswert": "a", "Hochwert": "b"})
        assert_same(named, table, columns={"x": "a", "y": "b"}, crs="EPSG:25833")


def test_a_list_of_stations_may_be_in_metres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = plain()
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:25833", always_xy=True).transform(
        places()["longitude"], places()["latitude"]
    )
    path = written(tmp_path / "rain.csv", wide(table, "station"))
    written(tmp_path / "list.csv", pd.DataFrame({"id": IDS, "x": x, "y": y}))
    assert_same(path, table, crs="EPSG:25833")
    monkeypatch.setitem(sys.modules, "pyproj", None)
    with pytest.raises(InputError, match=r"--crs EPSG:25833 needs a package .*: `pip install pyproj`"):
        read_stations(path, WHERE, crs="EPSG:25833")


@pytest.mark.parametrize(
    ("name", "head"), [("a.xlsx", b"PK\x03\x04"), ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")]
)
def test_excel_is_refused_with_the_line_that_converts_it(name: str, head: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(head + bytes(100))
    line = f"python -c \"import pandas; pandas.read_excel('{path}').to_csv('{path.with_suffix('.csv')}', index=False)\""
    with pytest.raises(InputError, match="is a workbook of Excel: save its sheet as CSV") as caught:
        read_stations(path, WHERE)
    assert line in str(caught.value)
