"""Results of earlier runs are listed, and read on demand."""

from pathlib import Path

import pandas as pd
import pytest
from kedro.io import AbstractDataset
from kedro.io.core import DatasetError
from stores import CATALOG, dataset

from fieldcast.datasets import ResultsDataset

KINDS = CATALOG["stored_{task}"]["datasets"]


@pytest.mark.parametrize("place", [None, "memory:///results"])
def test_results_of_earlier_runs_are_read_on_demand(tmp_path: Path, place: str | None) -> None:
    root = place or f"atomic://{tmp_path}"
    results = ResultsDataset(filepath=root, task="forecast", datasets=KINDS)
    assert results.load() == {}
    for folder, value in (("forecast/vae", 1), ("forecast/lim", 2), ("sample/vae", 3)):
        table = dataset("parquet", f"{root}/08_reporting/{folder}/scores.parquet")
        table.save(pd.DataFrame({"value": [value]}))
    dataset("bytes", f"{root}/08_reporting/forecast/vae/scores.csv.partial").save(b"half")
    dataset("csv", f"{root}/06_models/forecast/vae/history.csv").save(pd.DataFrame({"step": [7]}))
    dataset("json", f"{root}/04_feature/initial_times.json").save({"members": 3})
    left = results.load()
    assert left.keys() == {"scores", "history", "initial_times"} and left["initial_times"]() == {"members": 3}
    assert {name: read()["value"][0] for name, read in left["scores"].items()} == {"vae": 1, "lim": 2}
    assert left["history"]["vae"]()["step"][0] == 7
    with pytest.raises(DatasetError, match="cannot be saved as a whole"):
        results.save({"scores": {}})


def test_folders_may_be_links(tmp_path: Path) -> None:
    stored = tmp_path / "elsewhere" / "vae"
    dataset("parquet", stored / "scores.parquet").save(pd.DataFrame({"value": [1]}))
    (tmp_path / "data" / "08_reporting" / "forecast").mkdir(parents=True)
    (tmp_path / "data" / "08_reporting" / "forecast" / "vae").symlink_to(stored)
    results = ResultsDataset(filepath=str(tmp_path / "data"), task="forecast", datasets=KINDS).load()
    assert results["scores"]["vae"]()["value"][0] == 1


def test_tables_of_earlier_versions_without_columns_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "06_models/forecast/lim"
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text("\n")
    listed = ResultsDataset(filepath=str(tmp_path), task="forecast", datasets=KINDS).load()
    assert listed["history"]["lim"]() is None


@pytest.mark.parametrize("place", [None, "memory:///checkpoints"])
def test_checkpoints_are_listed_and_read_on_demand(tmp_path: Path, place: str | None) -> None:
    root = place or f"atomic://{tmp_path}/06_models"
    entry = CATALOG["checkpoints"]
    settings = {**entry, "dataset": {**entry["dataset"], "path": root}}
    settings.pop("credentials")
    checkpoints = AbstractDataset.from_config("checkpoints", settings)
    assert checkpoints.load() == {} and not checkpoints.exists()
    for path in (
        "x/y/checkpoint.safetensors",
        "x/z/checkpoint.safetensors",
        "x/z/checkpoint.safetensors.partial",
    ):
        dataset("bytes", f"{root}/{path}").save(path.encode())
    readers = checkpoints.load()
    assert {name: read() for name, read in readers.items()} == {
        "x/y": b"x/y/checkpoint.safetensors", "x/z": b"x/z/checkpoint.safetensors",
    }  # fmt: skip
