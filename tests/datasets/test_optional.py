"""A file that may be missing; its preview."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from kedro.io.core import DatasetError
from stores import CATALOG, weather

from fieldcast.datasets import DamagedError, OptionalDataset, PreviousDataset, ZarrDataset

ZARR = {"type": "fieldcast.datasets.ZarrDataset"}


def optional(kind: str, path: Path, **settings: Any) -> OptionalDataset:
    inner = {key: value for key, value in CATALOG.get(f"_{kind}", ZARR).items() if key != "credentials"}
    return OptionalDataset(dataset={**inner, "filepath": f"atomic://{path}"}, **settings)


def previous(kind: str, path: Path) -> PreviousDataset:
    within = optional(kind, path)._init_config() | {
        "metadata": {"optional": True},
        "validator": "some.Contract",
    }
    return PreviousDataset(dataset=within)


def test_a_missing_file_is_what_the_entry_says(tmp_path: Path) -> None:
    assert optional("bytes", tmp_path / "a").load() is None
    empty = optional("csv", tmp_path / "a", missing="pandas.DataFrame")
    assert empty.load().empty and not empty.exists()
    assert optional("zarr", tmp_path / "a.zarr", missing="xarray.Dataset").load().identical(xr.Dataset())


def test_a_table_without_columns_of_an_earlier_version_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n")
    assert optional("csv", tmp_path / "a.csv", missing="pandas.DataFrame").load().empty


def test_what_an_earlier_run_left_is_none_if_it_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.csv").write_bytes(b"value\n\xff\n")
    with pytest.raises(DatasetError):
        optional("csv", tmp_path / "a.csv").load()
    assert previous("csv", tmp_path / "a.csv").load()() is None
    assert f"'{tmp_path}/a.csv' is damaged (" in caplog.text and "it will be recreated" in caplog.text
    ZarrDataset(filepath=str(tmp_path / "a.zarr")).save(weather())
    for chunk in (tmp_path / "a.zarr/z/c").rglob("0"):
        chunk.is_file() and chunk.write_bytes(b"")
    with pytest.raises(DamagedError):
        optional("zarr", tmp_path / "a.zarr").load()
    assert previous("zarr", tmp_path / "a.zarr").load()() is None
    assert previous("zarr", tmp_path / "absent.zarr").load()() is None
    with pytest.raises(DatasetError, match="read only"):
        previous("zarr", tmp_path / "a.zarr").save(weather())


def test_a_preview_shows_the_first_rows(tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        table = optional(kind, tmp_path / "a")
        table.save(pd.DataFrame({"k": np.arange(50), "v": np.nan}))
        expected = {"columns": ["k", "v"], "index": [0, 1], "data": [[0, None], [1, None]]}
        assert table.preview(nrows=2) == expected


def test_a_preview_may_show_selected_rows_in_order(tmp_path: Path) -> None:
    table = optional("csv", tmp_path / "a.csv")
    table.save(
        pd.DataFrame(
            {"score": ["rmse", "crps", "crps", "crps"], "k": [0.1, 0.1, 0.5, 0.1], "v": [0, 3, 2, 1]}
        )
    )
    preview = table.preview(where={"score": ["crps"], "k": [0.1], "region": ["globe"]}, sort="v")
    assert preview["data"] == [["crps", 0.1, 1], ["crps", 0.1, 3]]
    assert table.preview(nrows=2, sort="absent")["data"] == [["rmse", 0.1, 0], ["crps", 0.1, 3]]


def test_kedro_viz_finds_the_previews_of_what_has_one(tmp_path: Path) -> None:
    from kedro_viz.models.flowchart.node_metadata import DataNodeMetadata

    class Node:
        viz_metadata = None

        def is_preview_enabled(self) -> bool:
            return True

        def get_preview_args(self) -> None:
            return None

    DataNodeMetadata.data_node = Node()
    names = {"csv": "TablePreview", "parquet": "TablePreview", "json": "JSONPreview", "zarr": "JSONPreview"}
    for kind, name in names.items():
        DataNodeMetadata.dataset = optional(kind, tmp_path / "a")
        assert DataNodeMetadata.set_preview_type(None) == name
    assert not hasattr(optional("text", tmp_path / "a"), "preview")
