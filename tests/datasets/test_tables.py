"""Tables hold what was saved, digit by digit, with the options of the catalog's entries."""

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import dataset


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False), st.integers(-(2**53), 2**53), st.text("abcé ,\"'", min_size=1))
    )
)
def test_tables_round_trip(tmp_path: Path, records: list) -> None:
    data = pd.DataFrame(records, columns=["value", "count", "word"]).astype(
        {"value": float, "count": int, "word": str}
    )
    for name in ("csv", "parquet"):
        stored = dataset(name, tmp_path / name)
        stored.save(data)
        loaded = stored.load()
        assert list(loaded.columns) == list(data.columns)
        assert (
            loaded["value"].to_list() == data["value"].to_list()
            and loaded["count"].to_list() == data["count"].to_list()
        )
        if name == "parquet":
            pd.testing.assert_frame_equal(loaded, data)


def test_a_table_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        table = dataset(kind, tmp_path / "deep" / kind)
        table.save(pd.DataFrame(columns=["a", "b"]))
        assert table.load().empty and table.load().columns.tolist() == ["a", "b"]


def test_a_digest_that_looks_like_a_number_stays_one(tmp_path: Path) -> None:
    """48213e905716 was read as infinity, and a leading zero was lost: the table then seemed to be of another model."""
    table = dataset("csv", tmp_path / "a.csv")
    digests = ["48213e905716", "012345678901", "1e5", "000000000000"]
    values = [0.1 + 0.2, 1e-17 / 3, np.nextafter(1.0, 2.0), 5e-324]
    for column in ("data_digest", "model", "case_digest"):
        written = pd.DataFrame({column: digests, "value": values})
        table.save(written)
        pd.testing.assert_frame_equal(table.load(), written, check_exact=True)


def test_names_that_pandas_takes_for_missing_values_stay_names(tmp_path: Path) -> None:
    table = dataset("csv", tmp_path / "a.csv")
    table.save(pd.DataFrame({"experiment": ["NA", "nan", "None"], "value": [1.0, np.nan, 2.0]}))
    assert table.load()["experiment"].tolist() == ["NA", "nan", "None"]
    assert table.load()["value"].isna().tolist() == [False, True, False]
