"""Tables of stations: names, times, units; and a sentence for each table that cannot be used."""

import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fieldcast.errors import InputError
from fieldcast.fields.conventions import short
from fieldcast.fields.stations import converted, read_stations


def table(**changes: object) -> pd.DataFrame:
    columns = {
        "Date": ["2001-01-01T00:00Z", "2001-01-01T01:00+01:00", "2001-01-02"],
        "lat": [10.0, 20.0, -5.0],
        "lon": [0.0, 350.0, -10.0],
        "parameter": ["2m_temperature", "t2m", "t2m"],
        "obs": [280.0, 281.0, 282.0],
        "station_id": ["a", "b", "c"],
    }
    return pd.DataFrame({**columns, **changes})


@pytest.mark.parametrize("kind", ["frame", "csv", "parquet"])
def test_common_names_zones_and_formats_are_understood(kind: str, tmp_path: Path) -> None:
    source: Path | pd.DataFrame = table()
    if kind != "frame":
        source = tmp_path / f"stations.{kind}"
        table().to_csv(source, index=False) if kind == "csv" else table().to_parquet(source)
    read = read_stations(source, "'stations'")
    assert list(read["variable"]) == ["t2m"] * 3
    expected = np.array(["2001-01-01", "2001-01-01", "2001-01-02"], dtype="M8[ns]")
    np.testing.assert_array_equal(read["time"].to_numpy(), expected)


def test_units_and_errors_are_converted() -> None:
    given = read_stations(table(units="degC", obs=[7.0, 8.0, 9.0], sigma=[0.5, np.nan, 1.0]), "'stations'")
    read = converted(given, {"t2m": "K"}, "'stations'")
    np.testing.assert_allclose(read["value"], [280.15, 281.15, 282.15])
    np.testing.assert_allclose(read["error"], [0.5, 0, 1])


def test_missing_values_are_no_observations() -> None:
    assert len(read_stations(table(obs=[np.nan, "NaN", 3.0]), "'stations'")) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs": ["x", "1", "2"]}, "'x' in column 'value', row 1, is not a number"),
        (
            {"Date": ["2001-01-01", "yesterday", "2001-01-02"]},
            "'stations': 'yesterday' in column 'time', row 2, is not a time: write it as",
        ),
        ({"lat": [95.0, 0, 0]}, "station a, 2m_temperature at 95, 0 on 2001-01-01T00:00:00"),
        ({"obs": [np.nan] * 3}, "all values are missing"),
        ({"sigma": [-1.0, 0, 0]}, "has an error that is negative or infinite"),
        ({"sigma": [np.inf, 0, 0]}, "has an error that is negative or infinite"),
        ({"Date": [978307200, 978307201, 978307202]}, "gives times as numbers \\(978307200\\)"),
        ({"Date": [20011301, 20010102, 20010103]}, "gives times as numbers \\(20011301\\)"),
        ({"Date": ["01/02/2001", "03/02/2001", "04/04/2001"]}, "whose day and month cannot be told apart"),
        ({"lon": [-999.9, 0, 0]}, "longitude that is not within -360 to 360 degrees"),
        ({"lon": [np.nan, 0, 0]}, "an observation has no longitude .*: add it"),
        ({"obs": [np.inf, 1.0, 2.0]}, "has an infinite value \\(station a, .*\\): correct it"),
        ({"latitude": [1.0, 2.0, 3.0]}, "'stations' has the columns latitude and lat: keep one"),
        ({"LAT": [1.0, 2.0, 3.0]}, "'stations' has two columns 'lat': keep one"),
    ],
)
def test_values_that_are_none_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_stations(table(**changes), "'stations'")


def test_columns_files_and_repetitions_that_are_wrong_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no column 'latitude': it needs time"):
        read_stations(table().drop(columns="lat"), "'stations'")
    with pytest.raises(InputError, match="does not exist"):
        read_stations(tmp_path / "none.csv", "'none.csv'")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(
        InputError, match=r"^'pipe.csv' is a pipe or device, not a file: save the data to a file"
    ):
        read_stations(tmp_path / "pipe.csv", "'pipe.csv'")
    with pytest.raises(InputError, match="is a folder, not a file: give the table in it"):
        read_stations(tmp_path, "'folder'")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_stations(tmp_path / "broken.parquet", "'broken.parquet'")
    with pytest.raises(InputError, match="is given twice"):
        read_stations(pd.concat([table(), table(obs=[280.0, 281.0, 282.5])]), "'stations'")
    with pytest.raises(InputError, match="holds no observation"):
        read_stations(table().head(0), "'stations'")


def test_a_variable_of_another_model_and_other_units_are_refused() -> None:
    with pytest.raises(InputError, match="is of a variable that the model lacks, which has z500"):
        converted(read_stations(table(), "'stations'"), {"z500": "m"}, "'stations'")
    with pytest.raises(InputError, match="is in 'm', which cannot be converted to 'K'"):
        converted(read_stations(table(units="m"), "'stations'"), {"t2m": "K"}, "'stations'")


def test_a_row_without_units_among_rows_with_them_is_refused() -> None:
    with pytest.raises(InputError, match="has no units, although the table has a column of them"):
        converted(
            read_stations(table(units=["degC", None, "degC"]), "'stations'"), {"t2m": "K"}, "'stations'"
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: give a table"),
        (b"time,lat,lon,variable,value\n2001-01-01,1,2,t2m,3,5\n", "has 5 headings, but rows of 6 cells"),
        (b"2001-01-01,1,2,t2m,3\n2001-01-02,1,2,t2m,3\n", "has no line of headings: write one"),
        (
            b"time,lat,lon,variable,value,station\n2001-01-01,1,2,t2m,3,\x81\xff",
            "neither in UTF-8 nor in Windows-1252",
        ),
        (
            b"time,time,lat,lon,variable,value\n2001-01-01,2001-01-01,1,2,t2m,3\n",
            "has two columns 'time': keep one",
        ),
    ],
)
def test_files_that_are_no_table_of_observations(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "stations.csv"
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"^'{file}' .*{message}"):
        read_stations(file, "the table of stations")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
@pytest.mark.parametrize("rows", [1, 30_000])
def test_tables_of_old_programs_are_read(tmp_path: Path, encoding: str, rows: int) -> None:
    """The letters of names are in the last row, which may lie far behind the first."""
    first = "".join(f"2001-01-01,1,{number / rows},t2m,3,Aarhus\n" for number in range(rows))
    text = f"time,lat,lon,variable,value,station\n{first}2001-01-01,1,2,t2m,3,Århus Süd\n"
    (tmp_path / "stations.csv").write_bytes(text.encode(encoding))
    read = read_stations(tmp_path / "stations.csv", "'stations'")
    assert list(read["station"].tail(1)) == ["Århus Süd"] and len(read) == rows + 1


def test_spaces_after_commas_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "stations.csv"
    file.write_text("time, lat, lon, variable, value\n2001-01-01, 1, 2, t2m, 3\n")
    assert list(read_stations(file, "'stations'")["variable"]) == ["t2m"]


@pytest.mark.parametrize("zeros", [1, 3000])
def test_a_table_with_zero_bytes_is_named_without_them(tmp_path: Path, zeros: int) -> None:
    """A disk that was full, or a power cut, leaves a file whose end was never written."""
    text = b"time,lat,lon,variable,value\n2001-01-01,40,5,t2m,288\n"
    (tmp_path / "gauges.csv").write_bytes(text + bytes(zeros))
    with pytest.raises(
        InputError, match=f"gauges.csv' holds zero bytes from byte {len(text) + 1} on.*copy or"
    ) as caught:
        read_stations(tmp_path / "gauges.csv", f"'{tmp_path / 'gauges.csv'}'")
    assert "\x00" not in str(caught.value)


def readings(value: np.ndarray, stations: int = 4, **columns: object) -> pd.DataFrame:
    """Readings in the order of time at some stations."""
    places = {"station": [f"S{n}" for n in range(stations)], "lat": 40.0 + np.arange(stations), "lon": 5.0}
    days = pd.DataFrame({"time": pd.date_range("2001-01-01", periods=len(value) // stations)})
    table = days.merge(pd.DataFrame(places), "cross")
    return table.assign(**{"variable": "t2m", "value": value, "units": "degC", **columns})


@pytest.mark.parametrize(
    ("variable", "low", "high", "code", "number"),
    [
        ("t2m", -5.0, 25.0, -9999.0, 40),  # GHCN
        ("t2m", -5.0, 25.0, -9999.0, 1),
        ("TEMP", 30.0, 80.0, 9999.9, 3),  # GSOD
        ("PRCP", 0.0, 3.0, 99.99, 20),
        ("WDSP", 0.0, 30.0, 999.9, 7),
        ("WVHT", 0.0, 8.0, 99.0, 9),  # buoys
        ("z500", 50000.0, 58000.0, -9999.0, 2),
        ("sp", 98000.0, 102000.0, 1e36, 2),
        ("t2m", -5.0, 25.0, -1e30, 2),
    ],
)
def test_codes_for_missing_values_are_counted_named_and_left_out(
    variable: str, low: float, high: float, code: float, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """All that remains are the readings that are no codes."""
    rng = np.random.default_rng(0)
    table = readings(rng.uniform(low, high, 400), variable=variable)
    rows = rng.choice(400, number, replace=False)
    coded = table.copy()
    coded.loc[rows, "value"] = code
    with caplog.at_level(logging.WARNING):
        read = read_stations(coded, "'stations'")
    pd.testing.assert_frame_equal(read, read_stations(table.drop(index=rows), "'stations'"))
    assert (
        f"'stations': {number} of 400 readings of {short(variable)} are {code:.7g}, a code for a"
        in caplog.text
    )
    first = table.loc[rows.min()]
    assert f"station {first['station']}, {short(variable)} at {first['lat']:g}, 5 on" in caplog.text


@pytest.mark.parametrize(
    ("low", "high", "value", "number"),
    [
        (0.0, 40.0, 99.0, 2),  # a downpour [mm]
        (1005.0, 1010.0, 999.0, 1),  # a deep low [hPa]
        (950.0, 1040.0, 999.0, 30),
        (40.0, 100.0, 99.0, 30),  # humidity [%]
        (-99999.0, 99999.0, -9999.0, 5),
    ],
)
def test_true_extremes_are_no_codes(low: float, high: float, value: float, number: int) -> None:
    x = np.random.default_rng(0).uniform(low, high, 400)
    x[:number] = value
    assert len(read_stations(readings(x), "'stations'")) == 400


def test_a_station_or_a_table_of_codes_alone_has_no_reading(caplog: pytest.LogCaptureFixture) -> None:
    """A station that has one value at all times is told from a gauge that reads it now and then, as on grids."""
    x = np.random.default_rng(0).uniform(950, 1040, 200)
    x[::4] = 999.0
    x[1] = 999.0
    read = read_stations(readings(x), "'stations'")
    assert "S0" not in set(read["station"]) and len(read) == 150
    assert "50 of 200 readings of t2m are 999" in caplog.text
    for codes in (np.full(200, 999.9), np.full(4, -9999.0)):
        with pytest.raises(InputError, match="all values are codes for missing ones, such as -9999"):
            read_stations(readings(codes), "'stations'")
    assert len(read_stations(readings(np.full(4, 999.0)), "'stations'")) == 4  # a few pressures


def test_identical_rows_count_once_and_others_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    table = readings(np.arange(40.0))
    again = table.iloc[[3, 7, 7]].assign(time=["2001-01-01T01:00+01:00", *["2001-01-02T00:00Z"] * 2])
    mixed = pd.concat([table.assign(time=table["time"].astype(str)), again])
    read = read_stations(mixed, "'stations'")
    pd.testing.assert_frame_equal(read, read_stations(table, "'stations'"))
    assert (
        "'stations': 3 rows repeat others in all columns, the first station S3, t2m at 43, 5 on 2001"
        in caplog.text
    )
    with pytest.raises(
        InputError, match=r"2 observations is given twice, with different values \(station S0"
    ):
        read_stations(pd.concat([table, table.iloc[:2].assign(value=-1.0)]), "'stations'")


def test_times_without_a_zone_among_others_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    dates = [
        "2001-01-01T00:00+01:00",
        "2001-01-01 18:00",
        "2001-01-02T06:00+05",
        "2001-01-02",
        "2001-01-03T00:00Z",
    ]
    with caplog.at_level(logging.INFO):
        read = read_stations(readings(np.arange(5.0), 1).assign(time=dates), "'stations'")
    utc = ["2000-12-31T23", "2001-01-01T18", "2001-01-02T01", "2001-01-02", "2001-01-03"]
    np.testing.assert_array_equal(read["time"].to_numpy(), np.array(utc, dtype="M8[s]"))
    assert (
        "2 of 5 times name no zone and are taken as UTC, the first in row 2 ('2001-01-01 18:00')"
        in caplog.text
    )


@pytest.mark.parametrize(
    "dates",
    [
        [20011230, 20011231],
        ["20011230", "20011231"],
        ["200112300000", "200112310000"],
        [2001123000, 2001123100],
        ["30.12.2001", "31.12.2001"],
        ["30.12.2001 0:00", "31.12.2001 00:00:00"],
        ["30/12/2001", "31/12/2001"],
        ["12/30/2001 00:00", "12/31/2001 00:00"],
        ["2001/12/30", "2001/12/31"],
        ["2001-12-30 00:00 UTC", "2001-12-31T00:00:00Z"],
    ],
)
def test_dates_as_countries_and_services_write_them(dates: list[object]) -> None:
    read = read_stations(readings(np.arange(2.0), 1).assign(time=dates), "'stations'")
    np.testing.assert_array_equal(
        read["time"].to_numpy(), np.array(["2001-12-30", "2001-12-31"], dtype="M8[s]")
    )
