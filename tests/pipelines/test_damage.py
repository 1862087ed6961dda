"""A data root that a disk has damaged: ingestion makes it again, all other commands say which folder and command."""

import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fieldcast.app.error_messages import sentence
from fieldcast.fields import contracts

pytestmark = pytest.mark.proof

FIELDS, SPLITS = "03_primary/fields.zarr", "03_primary/splits.json"
ADDRESS = "reconstruct.climatology"


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def change_by_xarray(root: Path) -> None:
    """Fields as a user stores them with xarray alone, after changing one value."""
    store = root / FIELDS
    fields = xr.open_zarr(store).load().drop_encoding()
    fields["t2m"][5, 3, 2] += 1
    shutil.rmtree(store)
    fields.to_zarr(store, zarr_format=2)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": lambda root: flip(root / FIELDS / "t2m/c/0/0/0"),
    "a lost chunk": lambda root: (root / FIELDS / "t2m/c/0/0/0").unlink(),
    "an empty zarr.json": lambda root: (root / FIELDS / "zarr.json").write_bytes(b""),
    "an empty splits.json": lambda root: (root / SPLITS).write_bytes(b""),
    "a changed value without a checksum": change_by_xarray,
}


@pytest.fixture(scope="module")
def ingested(project: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ingested fields of a small file."""
    folder = tmp_path_factory.mktemp("ingested")
    rng, dims = np.random.default_rng(0), ("time", "latitude", "longitude")
    xr.Dataset(
        {"t2m": (dims, 288 + rng.standard_normal((60, 5, 6)).astype(np.float32).cumsum(0), {"units": "K"})},
        {
            "time": xr.date_range("2001-01-01", periods=60),
            "latitude": ("latitude", np.linspace(-60, 60, 5), {"units": "degrees_north"}),
            "longitude": ("longitude", np.arange(6) * 60.0, {"units": "degrees_east"}),
        },
    ).to_netcdf(folder / "weather.nc")
    project("ingestion", data_root=folder / "data", parameters=source(folder))
    return folder


def source(folder: Path) -> dict[str, Any]:
    return {"ingestion": {"source": "file", "path": str(folder / "weather.nc")}}


@pytest.fixture
def root(ingested: Path, tmp_path: Path) -> Path:
    shutil.copytree(ingested / "data", tmp_path / "data")
    return tmp_path / "data"


def contents(root: Path) -> dict[str, bytes]:
    """Content of every file, but for the times that nodes took."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture
def refused(project: Callable[..., Any], root: Path) -> Callable[..., str]:
    """The sentence with which a run ends that leaves the data root as it was."""

    def run(*names: str, **options: Any) -> str:
        before = contents(root)
        with pytest.raises(Exception) as caught:
            project(*names, data_root=root, **options)
        assert before.items() <= contents(root).items()
        text = sentence(caught.value)
        assert text is not None and "\n" not in text
        return text

    return run


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_fields_are_refused_by_all_stages_and_recreated_by_ingestion(
    project: Any, refused: Any, ingested: Path, root: Path, kind: str
) -> None:
    DAMAGE[kind](root)
    text = refused("training", namespaces=[ADDRESS])
    file = SPLITS if "splits" in kind else FIELDS
    assert f"'{root / file}' is damaged (" in text, text
    assert "run `kedro run --pipelines ingestion` to recreate it." in text, text
    gc.collect()  # the error holds the store, opened lazily, whose old version is kept for its readers
    project("ingestion", data_root=root, parameters=source(ingested))
    assert contents(root) == contents(ingested / "data")


def test_an_unreadable_quality_table_is_recreated(project: Any, ingested: Path, root: Path) -> None:
    file = root / "03_primary/quality.csv"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 128  # no UTF-8
    file.write_bytes(content)
    project("ingestion", data_root=root, parameters=source(ingested))
    assert contents(root) == contents(ingested / "data")


@pytest.mark.parametrize(
    ("file", "stage", "made_by"),
    [
        ("04_feature/observations.zarr/t650/c/0/0/0/0", "reconstruction", "sparsification"),
        (
            "07_model_output/reconstruct/climatology/draws.zarr/t650/c/0/0/0/0/0",
            "evaluation",
            "reconstruction",
        ),
        ("08_reporting/reconstruct/climatology/scores.parquet", "reporting", "evaluation"),
    ],
)
def test_other_damage_names_what_makes_it_again(
    refused: Any, finished: Path, root: Path, file: str, stage: str, made_by: str
) -> None:
    shutil.rmtree(root)
    for layer in ("06_models", "07_model_output", "08_reporting"):
        shutil.copytree(
            finished / layer / "reconstruct/climatology", root / layer / "reconstruct/climatology"
        )
    for layer in ("03_primary", "04_feature"):
        shutil.copytree(finished / layer, root / layer)
    flip(root / file)
    text = refused(stage, **({} if stage == "reporting" else {"namespaces": [ADDRESS]}))
    only = "" if made_by == "sparsification" else f" --namespaces {ADDRESS}"
    assert str(root / file.partition("/t650")[0]) in text and "is damaged (" in text, text
    assert f"run `kedro run --pipelines {made_by}{only}` to recreate it." in text, text


def test_fields_are_compared_with_their_digest_once_in_a_run(
    project: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare, compared = contracts.fits_digest, []
    monkeypatch.setattr(contracts, "fits_digest", lambda fields: compared.append(1) or compare(fields))
    for runs in (1, 2):
        project("sparsification", "initial_times", data_root=root)
        assert len(compared) == runs
