"""`fieldcast doctor` finds what is damaged, against its contract, or made from other data or weights."""

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
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
from stores import dataset

from fieldcast import cli
from fieldcast.app import doctor
from fieldcast.app.conf_source import parameters
from fieldcast.app.doctor import Examination, Fault, examine
from fieldcast.app.makers import makers as real_makers
from fieldcast.app.makers import origin_of
from fieldcast.datasets import BytesDataset, ZarrDataset
from fieldcast.encoding.checkpoint import FORMAT, REQUIRED_ENTRIES, model_digest, read_header
from fieldcast.encoding.tensor_file import pack_bytes
from fieldcast.errors import InputError
from fieldcast.experiments import Experiment, listed_experiments
from fieldcast.fields import images
from fieldcast.lineage import DECLARED, made_from
from fieldcast.models.source_code import code_of
from fieldcast.tasks import TASKS

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


EXPERIMENTS = {"reconstruct.a": Experiment("reconstruct", "a")}


def of_data(fields: xr.Dataset) -> dict[str, Any]:
    return {"data": fields.attrs["digest"]}


def of_training(fields: xr.Dataset, **parts: bytes) -> dict[str, Any]:
    weights = {role: read_header(part, role)["weights"] for role, part in parts.items()}
    return {**of_data(fields), "code": code_of(MODEL), "parts": weights}


def of_drawing(checkpoint: bytes, initial_times: dict[str, Any]) -> dict[str, Any]:
    return {"starts": initial_times["digest"], "model": model_digest(read_header(checkpoint, ""), MODEL)}


@made_from(initial_times=f"{__name__}.of_data", scores=f"{__name__}.of_data")
def choose(fields: Any) -> Any: ...


@made_from(checkpoint=f"{__name__}.of_training")
def fit(fields: Any, **parts: bytes) -> Any: ...


@made_from(draws=f"{__name__}.of_drawing")
def draw(checkpoint: Any, initial_times: Any) -> Any: ...


def makers(commands: Mapping[str, str], **parts: str) -> Iterator[tuple[str, Node, str]]:
    """Data sets with a node that makes each, and commands; `parts` are further inputs of the training of `c`."""
    for name, command in commands.items():
        address, _, output = name.rpartition(".")
        functions: dict[str, tuple[Any, Any]] = {
            "fields": (lambda: None, None),
            "checkpoint": (fit, {"fields": "fields", **(parts if address == "reconstruct.c" else {})}),
            "draws": (draw, [f"{address}.checkpoint", "initial_times"]),
        }
        function, inputs = functions.get(output, (choose, "fields"))
        yield name, node(function, inputs, name, name="make", namespace=f"{address}.stage"), command


def image_fields(grey: int = 7) -> xr.Dataset:
    values = np.full((2, 3, 3), grey, np.uint8)
    return xr.Dataset({"image": (("sample", "y", "x"), values)}, attrs={"digest": images.digest(values)})


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataCatalog:
    """Data sets that fit together; the scores of `b` are not stored."""
    monkeypatch.setattr(doctor, "makers", lambda: makers(MAKERS))
    monkeypatch.setattr(doctor, "parameters", dict)
    monkeypatch.setattr(doctor, "listed_experiments", lambda *_: EXPERIMENTS)
    fields, digest = image_fields(), image_fields().attrs["digest"]
    stored = {
        "fields": (
            ZarrDataset(filepath=str(tmp_path / "fields.zarr"), metadata={"digest": True}),
            fields,
        ),
        "initial_times": (
            dataset("json", tmp_path / "initial_times.json"),
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
            dataset("parquet", tmp_path / "scores.parquet"),
            pd.DataFrame({"data": [digest], "value": [1.0]}),
        ),
    }
    for each, data in stored.values():
        each.save(data)
    listed: dict[str, Any] = {name: each for name, (each, _) in stored.items()}
    listed["reconstruct.b.scores"] = dataset("csv", tmp_path / "absent.csv")
    created = DataCatalog(listed)
    created["params:reconstruct.a.model"] = MODEL
    return created


def test_a_healthy_folder_is_reported_as_such(catalog: DataCatalog) -> None:
    assert (
        str(examine(catalog, "data"))
        == "5 data sets are complete, undamaged and consistent with one another."
    )


@pytest.mark.parametrize("role", ["base", "first"], ids=["a correction", "a pool"])
def test_a_checkpoint_of_another_solution_is_named(
    catalog: DataCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    digest, name = image_fields().attrs["digest"], "reconstruct.c.checkpoint"
    experiment = Experiment("reconstruct", "c", {role: "reconstruct.a"})
    monkeypatch.setattr(doctor, "listed_experiments", lambda *_: {**EXPERIMENTS, "reconstruct.c": experiment})
    parts = {role: "reconstruct.a.checkpoint"}
    monkeypatch.setattr(doctor, "makers", lambda: makers({**MAKERS, name: "`kedro run`"}, **parts))
    catalog[name] = BytesDataset(filepath=str(tmp_path / "c.safetensors"))
    for weights, outcome in (
        (HEADER["weights"], "are complete"),
        ("another", f"{name}: it was made with parts.{role} another, this run has 0123456789ab."),
    ):
        header = {**HEADER, "data": digest, "parts": {role: weights}}
        catalog.save(name, pack_bytes({"w": torch.ones(1)}, header))
        assert outcome in str(examine(catalog, "data"))


def other_fields(folder: Path, catalog: DataCatalog) -> None:
    catalog.save("fields", image_fields(9))


def changed_values(folder: Path, catalog: DataCatalog) -> None:
    catalog.save("fields", image_fields(9).assign_attrs(digest=image_fields().attrs["digest"]))


def other_weights(folder: Path, catalog: DataCatalog) -> None:
    header = {**HEADER, "weights": "another", "data": image_fields().attrs["digest"]}
    catalog.save("reconstruct.a.checkpoint", pack_bytes({"w": torch.zeros(2)}, header))


def lost_chunk(folder: Path, catalog: DataCatalog) -> None:
    (folder / "draws.zarr/z/c/0").unlink()


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
                "initial_times": "it was made with data",
                "reconstruct.a.checkpoint": "it was made with data",
                "reconstruct.a.scores": "it was made with data",
            },
        ),
        (changed_values, {"fields": "do not match its digest"}),
        (other_weights, {"reconstruct.a.draws": "it was made with model"}),
        (lost_chunk, {"reconstruct.a.draws": "its chunk z/c/0 is missing"}),
        (
            cut_checkpoint,
            {"reconstruct.a.checkpoint": "is damaged"},
        ),
        (
            lost_checkpoint,
            {"reconstruct.a.checkpoint": "does not exist"},
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
    monkeypatch.setattr(doctor, "makers", lambda: makers({"reconstruct.b.scores": ""}))
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
    for stored, outcome in (
        (code, "are complete"),
        (dict.fromkeys(code, "edited"), "it was made with code."),
    ):
        header = {**HEADER, "data": digest, "code": stored}
        catalog.save("reconstruct.a.checkpoint", pack_bytes({"w": torch.ones(2)}, header))
        draws = xr.Dataset({"z": ("x", [1.0])}, attrs={"starts": "s", "model": model_digest(header, MODEL)})
        catalog.save("reconstruct.a.draws", draws)
        assert outcome in str(examine(catalog, "data"))


def test_declarations_are_of_outputs_and_take_inputs_of_their_nodes(project_folder: None) -> None:
    listed = listed_experiments(parameters(), TASKS)
    made = [(name.rpartition(".")[2], step, origin_of(name, step, listed)) for name, step, _ in real_makers()]
    outputs = {(step.func, output) for output, step, origin in made if origin}
    assert outputs == {(function, output) for function, named in DECLARED.items() for output in named} - {
        (function, output) for function in (choose, fit, draw) for output in DECLARED[function]
    }
    for _, step, origin in made:
        if origin:
            assert {*origin.inputs.values()} <= {*step.inputs}, step.name
            required = [
                each for each in signature(origin.lineage).parameters.values() if each.name != "parts"
            ]
            assert {each.name for each in required if each.default is each.empty} <= {*origin.inputs}, (
                node.name
            )
