"""`fieldcast doctor` finds what is damaged, against its contract, or made from other data or weights."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro.pipeline import node
from kedro.pipeline.node import Node

from fieldcast import cli
from fieldcast.datasets import BytesDataset, JSONDataset, TableDataset, ZarrDataset
from fieldcast.encoding.checkpoint import FORMAT, REQUIRED_ENTRIES, model_digest
from fieldcast.encoding.tensor_file import pack_bytes
from fieldcast.errors import InputError
from fieldcast.experiments import Experiment
from fieldcast.fields import images
from fieldcast.frame import doctor
from fieldcast.frame.doctor import Examination, Fault, examine
from fieldcast.models.source_code import code_of

MODEL = {"type": "interpolation.Linear"}
HEADER = {
    **dict.fromkeys(REQUIRED_ENTRIES, ""),
    "format": FORMAT,
    "variables": ["z"],
    "wraps": False,
    "step_hours": 24.0,
    "model": MODEL,
    "weights": "0123456789ab",
    "data": "",
}
MAKERS = {
    "fields": "`kedro run --pipelines ingestion`",
    "initial_times": "`kedro run --pipelines initial_times`",
    "reconstruct.a.checkpoint": "`kedro run --pipelines training --namespaces reconstruct.a`",
    "reconstruct.a.draws": "`kedro run --pipelines reconstruction --namespaces reconstruct.a`",
    "reconstruct.a.scores": "`kedro run --pipelines evaluation --namespaces reconstruct.a`",
    "reconstruct.b.scores": "`kedro run --pipelines evaluation --namespaces reconstruct.b`",
}


def makers(commands: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Node, str]]:
    """Data sets with a node that makes each from nothing, and commands."""
    for name, command in commands:
        yield name, node(lambda: None, None, name, name="make"), command


def image_fields(grey: int = 7) -> xr.Dataset:
    values = np.full((2, 3, 3), grey, np.uint8)
    return xr.Dataset({"image": (("sample", "y", "x"), values)}, attrs={"digest": images.digest(values)})


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataCatalog:
    """Data sets that fit together; the scores of `b` are not stored."""
    monkeypatch.setattr(doctor, "makers", lambda: makers(MAKERS.items()))
    monkeypatch.setattr(doctor.ConfiguredOptions, "complaint", lambda *_: None)  # test_doctor_options.py
    monkeypatch.setattr(doctor, "experiments", lambda *_: {"reconstruct.a": Experiment("reconstruct", "a")})
    fields, digest = image_fields(), image_fields().attrs["digest"]
    stored = {
        "fields": (
            ZarrDataset(filepath=str(tmp_path / "fields.zarr"), metadata={"digest": True}),
            fields,
        ),
        "initial_times": (
            JSONDataset(filepath=str(tmp_path / "initial_times.json")),
            {"data": digest, "digest": "s"},
        ),
        "reconstruct.a.checkpoint": (
            BytesDataset(filepath=str(tmp_path / "checkpoint.safetensors")),
            pack_bytes({"w": torch.ones(2)}, {**HEADER, "data": digest}),
        ),
        "reconstruct.a.draws": (
            ZarrDataset(filepath=str(tmp_path / "draws.zarr"), load_args={"lazy": True}),
            xr.Dataset({"z": ("x", [1.0])}, attrs={"starts": "s", "model": model_digest(HEADER, MODEL)}),
        ),
        "reconstruct.a.scores": (
            TableDataset(filepath=str(tmp_path / "scores.parquet")),
            pd.DataFrame({"data": [digest], "value": [1.0]}),
        ),
    }
    for dataset, data in stored.values():
        dataset.save(data)
    listed: dict[str, Any] = {name: dataset for name, (dataset, _) in stored.items()}
    listed["reconstruct.b.scores"] = TableDataset(filepath=str(tmp_path / "absent.csv"))
    created = DataCatalog(listed)
    created["params:reconstruct.a.model"] = MODEL
    return created


def test_a_healthy_folder_is_reported_as_such(catalog: DataCatalog) -> None:
    assert (
        str(examine(catalog, "data"))
        == "5 data sets are complete, undamaged and consistent with one another."
    )


def test_external_forecasts_need_no_checkpoint(
    catalog: DataCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "forecast.file.draws"
    catalog[name] = ZarrDataset(filepath=str(tmp_path / "file.zarr"))
    catalog.save(name, xr.Dataset({"z": ("x", [1.0])}, attrs={"starts": "s", "model": "forecasts.nc"}))
    listed = {
        "reconstruct.a": Experiment("reconstruct", "a"),
        "forecast.file": Experiment("forecast", "file", file=True),
    }
    monkeypatch.setattr(doctor, "experiments", lambda *_: listed)
    monkeypatch.setattr(doctor, "makers", lambda: makers([*MAKERS.items(), (name, "`kedro run`")]))
    assert (
        str(examine(catalog, "data"))
        == "6 data sets are complete, undamaged and consistent with one another."
    )


@pytest.mark.parametrize(
    ("uses", "origin"),
    [
        ({"base": "reconstruct.a"}, lambda weights: {"base": weights}),
        ({"first": "reconstruct.a"}, lambda weights: {"parts": {"first": weights}}),
    ],
    ids=["a correction", "a pool"],
)
def test_a_checkpoint_of_another_solution_is_named(
    catalog: DataCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uses: dict[str, str], origin: Any
) -> None:
    digest, name = image_fields().attrs["digest"], "reconstruct.c.checkpoint"
    listed = {
        "reconstruct.a": Experiment("reconstruct", "a"),
        "reconstruct.c": Experiment("reconstruct", "c", uses),
    }
    monkeypatch.setattr(doctor, "experiments", lambda *_: listed)
    monkeypatch.setattr(doctor, "makers", lambda: makers([*MAKERS.items(), (name, "`kedro run`")]))
    catalog[name] = BytesDataset(filepath=str(tmp_path / "c.safetensors"))
    for weights, outcome in (
        (HEADER["weights"], "are complete"),
        ("another", f"{name}: it was made from other weights"),
    ):
        catalog.save(name, pack_bytes({"w": torch.ones(1)}, {**HEADER, "data": digest, **origin(weights)}))
        assert outcome in str(examine(catalog, "data"))


def other_fields(folder: Path, catalog: DataCatalog) -> None:
    catalog.save("fields", image_fields(9))


def changed_values(folder: Path, catalog: DataCatalog) -> None:
    catalog.save("fields", image_fields(9).assign_attrs(digest=image_fields().attrs["digest"]))


def other_weights(folder: Path, catalog: DataCatalog) -> None:
    header = {**HEADER, "weights": "another", "data": image_fields().attrs["digest"]}
    catalog.save("reconstruct.a.checkpoint", pack_bytes({"w": torch.zeros(2)}, header))


def lost_chunk(folder: Path, catalog: DataCatalog) -> None:
    (folder / "draws.zarr/z/0").unlink()


def cut_checkpoint(folder: Path, catalog: DataCatalog) -> None:
    file = folder / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-3])


def lost_checkpoint(folder: Path, catalog: DataCatalog) -> None:
    (folder / "checkpoint.safetensors").unlink()


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        (
            other_fields,
            {
                "initial_times": "other fields",
                "reconstruct.a.checkpoint": "other fields",
                "reconstruct.a.scores": "other",
            },
        ),
        (changed_values, {"fields": "do not match its digest"}),
        (other_weights, {"reconstruct.a.draws": "other weights or model options"}),
        (lost_chunk, {"reconstruct.a.draws": "its chunk z/0 is missing"}),
        (
            cut_checkpoint,
            {"reconstruct.a.checkpoint": "is damaged"},
        ),
        (
            lost_checkpoint,
            {"reconstruct.a.checkpoint": "does not exist", "reconstruct.a.draws": "does not exist"},
        ),
    ],
)
def test_every_fault_is_named_with_the_command_that_mends_it(
    catalog: DataCatalog, tmp_path: Path, change: Callable[[Path, DataCatalog], None], faults: dict[str, str]
) -> None:
    change(tmp_path, catalog)
    examination = examine(catalog, "data")
    assert [fault.dataset for fault in examination.faults] == list(faults)
    for fault in examination.faults:
        assert faults[fault.dataset] in fault.complaint and fault.command == MAKERS[fault.dataset]
        assert "\n" not in fault.complaint
        assert f"\n  {MAKERS[fault.dataset].strip('`')}" in str(examination)


def test_a_folder_without_data_is_a_sentence(catalog: DataCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "makers", lambda: makers([("reconstruct.b.scores", "")]))
    with pytest.raises(InputError, match="nothing is stored in data: name the data_root"):
        examine(catalog, "data")


@pytest.fixture
def project_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    bootstrap_project(root)
    yield


@pytest.mark.parametrize("faults", [(), (Fault("a", "it is cut.", "`kedro run`"),)])
def test_the_exit_code_says_whether_there_is_something(
    project_folder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: tuple[Fault, ...]
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda catalog, folder: Examination(3, faults))
    outcome = CliRunner().invoke(cli.cli, ["doctor", str(tmp_path), "--env", "test"])
    assert outcome.exit_code == len(faults), outcome.exception
    assert outcome.output.startswith("1 of 3 data sets" if faults else "3 data sets are complete")


def test_a_model_class_that_changed_since_its_training_is_named(catalog: DataCatalog) -> None:
    """Comments aside, the code of a class decides what is trained and drawn."""
    digest, code = image_fields().attrs["digest"], code_of(MODEL)
    for stored, outcome in ((code, "are complete"), (dict.fromkeys(code, "edited"), "has changed since")):
        header = {**HEADER, "data": digest, "code": stored}
        catalog.save("reconstruct.a.checkpoint", pack_bytes({"w": torch.ones(2)}, header))
        draws = xr.Dataset({"z": ("x", [1.0])}, attrs={"starts": "s", "model": model_digest(header, MODEL)})
        catalog.save("reconstruct.a.draws", draws)
        assert outcome in str(examine(catalog, "data"))


def test_draws_are_compared_with_the_observations_that_they_are_made_from(
    catalog: DataCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Analyses are made from `cycle_observations`, although their attribute has the name of those of reconstruct."""
    sources = {"assimilate.d.draws": "cycle_observations", "reconstruct.d.draws": "observations"}
    names = [*sources.values(), *sources]
    nodes = [
        (name, node(lambda *_: None, sources.get(name), name, name="make"), "`kedro run`") for name in names
    ]
    monkeypatch.setattr(doctor, "makers", lambda: iter(nodes))
    for name in names:
        catalog[name] = ZarrDataset(filepath=str(tmp_path / f"{name}.zarr"))
    for changed in ("", *sources.values()):
        digests = {source: f"{source} {source == changed}" for source in sources.values()}
        for source, digest in digests.items():
            catalog.save(source, xr.Dataset({"z": ("x", [1.0])}, attrs={"digest": digest}))
        for name, source in sources.items():
            catalog.save(name, xr.Dataset({"z": ("x", [1.0])}, attrs={"observations": f"{source} False"}))
        faults = {fault.dataset: fault.complaint for fault in examine(catalog, "data").faults}
        assert list(faults) == [name for name, source in sources.items() if source == changed]
        for complaint in faults.values():
            assert complaint == f"it was made from other {changed} ({changed} False, now {changed} True)."
