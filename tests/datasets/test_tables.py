"""Tables hold what was saved, digit by digit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io.core import DatasetError

from fieldcast.datasets import TableDataset


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
    for name in ("a.csv", "a.parquet"):
        stored = TableDataset(filepath=str(tmp_path / name))
        stored.save(data)
        loaded = stored.load()
        assert list(loaded.columns) == list(data.columns)
        assert (
            loaded["value"].to_list() == data["value"].to_list()
            and loaded["count"].to_list() == data["count"].to_list()
        )
        if name == "a.parquet":
            pd.testing.assert_frame_equal(loaded, data)


def test_an_empty_table_and_a_missing_file(tmp_path: Path) -> None:
    table = TableDataset(filepath=str(tmp_path / "deep" / "a.csv"), missing="empty")
    assert table.load().empty and not table.exists()
    table.save(pd.DataFrame())
    assert table.load().empty and table.exists()
    with pytest.raises(DatasetError, match=r"neither .csv nor .parquet"):
        TableDataset(filepath=str(tmp_path / "a.xls"))


def test_a_preview_shows_the_first_rows(tmp_path: Path) -> None:
    table = TableDataset(filepath=str(tmp_path / "a.csv"))
    table.save(pd.DataFrame({"k": np.arange(50), "v": np.nan}))
    assert table.preview(nrows=2) == {"columns": ["k", "v"], "index": [0, 1], "data": [[0, None], [1, None]]}
    assert TableDataset.preview.__annotations__["return"].__name__ == "TablePreview"


def test_a_preview_may_show_selected_rows_in_order(tmp_path: Path) -> None:
    table = TableDataset(filepath=str(tmp_path / "a.csv"))
    table.save(
        pd.DataFrame(
            {"score": ["rmse", "crps", "crps", "crps"], "k": [0.1, 0.1, 0.5, 0.1], "v": [0, 3, 2, 1]}
        )
    )
    preview = table.preview(where={"score": ["crps"], "k": [0.1], "region": ["globe"]}, sort="v")
    assert preview["data"] == [["crps", 0.1, 1], ["crps", 0.1, 3]]
    assert table.preview(nrows=2, sort="absent")["data"] == [["rmse", 0.1, 0], ["crps", 0.1, 3]]


def test_a_digest_that_looks_like_a_number_stays_one(tmp_path: Path) -> None:
    """48213e905716 was read as infinity, and a leading zero was lost: the table then seemed to be of another model."""
    table = TableDataset(filepath=str(tmp_path / "a.csv"))
    written = pd.DataFrame({"model": ["48213e905716", "012345678901"], "value": [0.1 + 0.2, 1e-17 / 3]})
    table.save(written)
    pd.testing.assert_frame_equal(table.load(), written, check_exact=True)


def test_names_that_pandas_takes_for_missing_values_stay_names(tmp_path: Path) -> None:
    table = TableDataset(filepath=str(tmp_path / "a.csv"))
    table.save(pd.DataFrame({"experiment": ["NA", "nan", "None"], "value": [1.0, np.nan, 2.0]}))
    assert table.load()["experiment"].tolist() == ["NA", "nan", "None"]
    assert table.load()["value"].isna().tolist() == [False, True, False]
