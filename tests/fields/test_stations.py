"""Tables of stations: names, times, units; and a sentence for each table that cannot be used."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fieldcast.errors import InputError
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
        ({"Date": [20010101, 20010102, 20010103]}, "gives times as numbers \\(20010101\\)"),
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
        read_stations(pd.concat([table(), table()]), "'stations'")
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
        (b"time;lat;lon;variable;value\n2001-01-01;1;2;t2m;3\n", "use commas"),
        (
            "time,lat,lon,variable,value,station\n2001-01-01,1,2,t2m,3,Århus".encode("latin-1"),
            "save it as UTF-8",
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
