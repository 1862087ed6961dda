"""Results of earlier runs are listed, and read on demand."""

from pathlib import Path

import pandas as pd
import pytest
from kedro.io.core import DatasetError

from fieldcast.datasets import (
    BytesDataset,
    JSONDataset,
    ResultsDataset,
    TableDataset,
)


@pytest.mark.parametrize("place", [None, "memory:///results"])
def test_results_of_earlier_runs_are_read_on_demand(tmp_path: Path, place: str | None) -> None:
    root = place or str(tmp_path)
    results = ResultsDataset(filepath=root, task="forecast")
    assert results.load() == {}
    for folder, value in (("forecast/vae", 1), ("forecast/lim", 2), ("sample/vae", 3)):
        table = TableDataset(filepath=f"{root}/08_reporting/{folder}/scores.parquet")
        table.save(pd.DataFrame({"value": [value]}))
    BytesDataset(filepath=f"{root}/08_reporting/forecast/vae/scores.csv.partial").save(b"half")
    TableDataset(filepath=f"{root}/06_models/forecast/vae/history.csv").save(pd.DataFrame({"step": [7]}))
    JSONDataset(filepath=f"{root}/04_feature/initial_times.json").save({"members": 3})
    left = results.load()
    assert left.keys() == {"scores", "history", "initial_times"} and left["initial_times"]() == {"members": 3}
    assert {name: read()["value"][0] for name, read in left["scores"].items()} == {"vae": 1, "lim": 2}
    assert left["history"]["vae"]()["step"][0] == 7
    with pytest.raises(DatasetError, match="cannot be saved as a whole"):
        results.save({"scores": {}})


def test_folders_may_be_links(tmp_path: Path) -> None:
    stored = tmp_path / "elsewhere" / "vae"
    TableDataset(filepath=str(stored / "scores.parquet")).save(pd.DataFrame({"value": [1]}))
    (tmp_path / "data" / "08_reporting" / "forecast").mkdir(parents=True)
    (tmp_path / "data" / "08_reporting" / "forecast" / "vae").symlink_to(stored)
    results = ResultsDataset(filepath=str(tmp_path / "data"), task="forecast").load()
    assert results["scores"]["vae"]()["value"][0] == 1
