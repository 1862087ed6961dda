"""Data sets in general: independence of the package, locations, configurations, credentials."""

import ast
import sys
from pathlib import Path

import pytest
import yaml
from kedro.io import AbstractDataset

from fieldcast.datasets import (
    BytesDataset,
    PicturesDataset,
    ResultsDataset,
    ResumableDataset,
    TextDataset,
    ZarrDataset,
)


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


@pytest.mark.parametrize(
    ("root", "location"),
    [
        ("memory:///here", "memory:///here"),
        ("memory://run/here", "memory:///run/here"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("/folder/x", "/folder/x"),
    ],
)
def test_a_location_keeps_its_protocol(root: str, location: str) -> None:
    assert TextDataset(filepath=f"{root}/report.html").location == f"{location}/report.html"


def test_the_configuration_of_a_data_set_makes_it_again(tmp_path: Path) -> None:
    """`kedro catalog resolve-patterns` prints it."""
    settings = {"filepath": f"{tmp_path}/a.csv", "missing": "empty", "load_args": {"nrows": 3}}
    bytes_of = {"type": "fieldcast.datasets.BytesDataset", "filepath": f"{tmp_path}/b"}
    for config in (
        {"type": "fieldcast.datasets.TableDataset", **settings},
        {"type": "fieldcast.datasets.ResumableDataset", "dataset": bytes_of, "state": f"{tmp_path}/c"},
        {"type": "fieldcast.datasets.PicturesDataset", "path": f"{tmp_path}/figures", "load_args": {}},
        {"type": "fieldcast.datasets.ZarrDataset", "filepath": f"{tmp_path}/d.zarr", "append": "lead"},
        {"type": "fieldcast.datasets.InMemoryDataset"},
    ):
        created = AbstractDataset.from_config("a", {**config, "metadata": {"optional": True}})
        printed = yaml.safe_load(yaml.safe_dump(created._init_config()))
        again = AbstractDataset.from_config("a", dict(printed))
        assert again._describe() == created._describe() and type(again) is type(created)
        assert {"settings", "metadata"}.isdisjoint(printed)
        assert all(printed[key] == value for key, value in config.items() if key != "type")


def test_credentials_reach_what_lies_within(tmp_path: Path) -> None:
    credentials = {"auto_mkdir": True}
    inner = {"type": BytesDataset, "filepath": f"{tmp_path}/a"}
    stored = ResumableDataset(dataset=inner, state=f"{tmp_path}/b", credentials=credentials)
    assert stored._dataset._fs_args == stored._state._fs_args == credentials
    assert ResultsDataset(filepath=str(tmp_path), task="a", credentials=credentials)._fs_args == credentials
    pictures = PicturesDataset(path=str(tmp_path), credentials=credentials)
    assert pictures._credentials == credentials
