"""Data sets in general: independence of the package, locations, configurations, credentials."""

import ast
import sys
from pathlib import Path

import yaml
from kedro.io import AbstractDataset

from fieldcast.datasets import OptionalDataset, PicturesDataset, ResultsDataset, ResumableDataset, ZarrDataset


def test_nothing_of_the_rest_of_the_package_is_imported() -> None:
    folder = Path(str(sys.modules[ZarrDataset.__module__].__file__)).parent
    trees = [ast.parse(file.read_text()) for file in folder.glob("*.py")]
    walked = [item for tree in trees for item in ast.walk(tree)]
    names = [alias.name for item in walked if isinstance(item, ast.Import) for alias in item.names]
    names += [f"{'.' * item.level}{item.module}" for item in walked if isinstance(item, ast.ImportFrom)]
    package = "fieldcast.datasets"
    assert "kedro.io.core" in names
    ours = {name for name in names if name.startswith((".", "fieldcast")) and not name.startswith(package)}
    assert ours == {"fieldcast.atomic"}


def test_the_configuration_of_a_data_set_makes_it_again(tmp_path: Path) -> None:
    """`kedro catalog resolve-patterns` prints it."""
    bytes_of = {"type": "fieldcast.datasets.BytesDataset", "filepath": f"{tmp_path}/b"}
    table = {"type": "pandas.CSVDataset", "filepath": f"{tmp_path}/a.csv", "load_args": {"nrows": 3}}
    for config in (
        bytes_of,
        {"type": "fieldcast.datasets.OptionalDataset", "dataset": table, "missing": "pandas.DataFrame"},
        {"type": "fieldcast.datasets.ResumableDataset", "dataset": bytes_of, "state": f"{tmp_path}/c"},
        {"type": "fieldcast.datasets.PicturesDataset", "filepath": f"{tmp_path}/figures"},
        {"type": "fieldcast.datasets.ZarrDataset", "filepath": f"{tmp_path}/d.zarr", "append": "lead"},
        {
            "type": "fieldcast.datasets.ResultsDataset", "filepath": f"{tmp_path}", "task": "a",
            "datasets": {".csv": {"type": "pandas.CSVDataset"}},
        },
        {"type": "fieldcast.datasets.InMemoryDataset"},
    ):  # fmt: skip
        created = AbstractDataset.from_config("a", {**config, "metadata": {"optional": True}})
        printed = yaml.safe_load(yaml.safe_dump(created._init_config()))
        again = AbstractDataset.from_config("a", dict(printed))
        assert again._describe() == created._describe() and type(again) is type(created)
        assert {"settings", "metadata"}.isdisjoint(printed)
        assert all(printed[key] == value for key, value in config.items() if key != "type")


def test_credentials_reach_what_lies_within(tmp_path: Path) -> None:
    credentials = {"auto_mkdir": True}
    inner = {"type": ZarrDataset, "filepath": f"{tmp_path}/a"}
    stored = ResumableDataset(dataset=inner, state=f"atomic://{tmp_path}/b", credentials=credentials)
    assert stored._dataset._fs_args == credentials and stored._state._fs.auto_mkdir
    assert OptionalDataset(dataset=inner, credentials=credentials)._dataset._fs_args == credentials
    kinds = {".zarr": {"type": ZarrDataset}}
    results = ResultsDataset(filepath=str(tmp_path), task="a", datasets=kinds, credentials=credentials)
    assert results._fs_args == credentials
    pictures = PicturesDataset(filepath=str(tmp_path), credentials=credentials)
    assert pictures._fs_args == credentials
