"""Checkpoints and draws that are damaged, or belong to something else, are refused in one sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from refusals import CHECKPOINTS, ingest, only_a_sentence, state, weather

from fieldcast.app.error_messages import sentence
from fieldcast.datasets import ZarrDataset
from fieldcast.errors import InputError


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_checkpoints(project: Any, models: Path, file: Path, family: str) -> None:
    harm, phrases = CHECKPOINTS[family]
    checkpoint = models / "06_models/reconstruct/climatology/checkpoint.safetensors"
    checkpoint.write_bytes(harm(checkpoint.read_bytes()))
    before = state(models)
    address = "reconstruct.climatology"
    fill = {"fill": {"observations": str(file), "experiment": address}}
    for pipeline, options in (("fill", {"parameters": fill}), ("reconstruction", {"namespaces": [address]})):
        with pytest.raises(Exception) as caught:
            project(pipeline, data_root=models, **options)
        text = sentence(caught.value) or ""
        assert phrases in text and "train the experiment again" in text and "\n" not in text, text
    assert state(models) == before


@pytest.mark.parametrize(("longitudes", "words"), [(6, "train the experiment again"), (16, "t2m, msl")])
def test_a_checkpoint_of_other_data(
    project: Any, finished: Path, tmp_path: Path, longitudes: int, words: str
) -> None:
    """Trained on the planet, while the data root now holds another file."""
    path, data_root = tmp_path / "other.nc", tmp_path / "data"
    weather(120, longitudes).to_netcdf(path)
    project("ingestion", "sparsification", data_root=data_root, parameters=ingest(path))
    shutil.copytree(
        finished / "06_models/reconstruct/climatology", data_root / "06_models/reconstruct/climatology"
    )
    before = state(data_root)
    with pytest.raises(Exception) as caught:
        project("reconstruction", data_root=data_root, namespaces=["reconstruct.climatology"])
    text = sentence(caught.value) or ""
    assert words in text and "the checkpoint of z500" in text and "\n" not in text, text
    assert state(data_root) == before


def test_a_checkpoint_of_another_grid(project: Any, finished: Path, tmp_path: Path) -> None:
    data_root = tmp_path / "data"
    planet = {"ingestion": {"planet": {"n_longitude": 12, "years": 1}}}
    project("ingestion", "sparsification", data_root=data_root, parameters=planet)
    shutil.copytree(
        finished / "06_models/reconstruct/climatology", data_root / "06_models/reconstruct/climatology"
    )
    with pytest.raises(Exception) as caught:
        project("reconstruction", data_root=data_root, namespaces=["reconstruct.climatology"])
    assert "the longitudes of the data set are 12 from 0 to 330" in (sentence(caught.value) or "")


def test_a_checkpoint_of_another_model_or_of_other_splits(project: Any, models: Path) -> None:
    """Drawing refuses old weights under a new name, and a model that was trained on test days."""
    other = {"reconstruct": {"climatology": {"model": {"type": "interpolation.Nearest"}}}}
    splits = json.loads((models / "03_primary/splits.json").read_text())
    moved = {**splits, "test": [splits["train"][1], splits["test"][1]]}
    (models / "03_primary/splits.json").write_text(json.dumps(moved))
    expected = f"splits.test {splits['test']}, this run has {moved['test']}"
    kind = "model.type climatology.Climatology, this run has interpolation.Nearest"
    before = state(models)
    for parameters, phrases in ((other, kind), ({}, expected)):
        with pytest.raises(Exception) as caught:
            project(
                "reconstruction",
                data_root=models,
                namespaces=["reconstruct.climatology"],
                parameters=parameters,
            )
        text = sentence(caught.value) or ""
        assert (
            f"the checkpoint of 'reconstruct.climatology' was trained with {phrases}: train it again" in text
        )
        assert "`kedro run --pipelines training --namespaces reconstruct.climatology`" in text
    assert state(models) == before


@pytest.mark.proof
def test_a_checkpoint_in_a_real_process(kedro: Any, models: Path) -> None:
    checkpoint = models / "06_models/reconstruct/climatology/checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    before = state(models)
    phrases = ["--pipelines", "reconstruction", "--namespaces", "reconstruct.climatology"]
    done = kedro(*phrases, "--params", f"data_root={models}")
    only_a_sentence(done, "checkpoint", "is damaged", "train the experiment again")
    assert state(models) == before


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            {"evaluation": {"members": 2}},
            "the reconstructions were drawn with members 3, this run has 2: draw them again",
        ),
        ({"seed": 1}, "was trained with seed 0, this run has 1: train it again"),
    ],
)
def test_draws_are_not_scored_as_what_they_are_not(
    message: Any, parameters: dict[str, Any], words: str
) -> None:
    assert words in message("evaluation", namespaces=["reconstruct.climatology"], parameters=parameters)


@pytest.mark.parametrize("stage", ["reconstruction", "evaluation"])
@pytest.mark.parametrize("options", [{"times": 2}, {"masks": 1}])
def test_observations_of_other_options_are_refused(message: Any, stage: str, options: dict[str, int]) -> None:
    parameters = {"sparsification": options}
    text = message(stage, namespaces=["reconstruct.climatology"], parameters=parameters)
    ((name, value),) = options.items()
    assert f"the stored observations were made with sparsification.{name} " in text
    assert f"this run has {value}: recreate them with `kedro run --pipelines sparsification`" in text


def test_draws_of_another_checkpoint_or_of_other_observations_are_refused(
    project: Any, finished: Path, models: Path
) -> None:
    address, drawn = "reconstruct.climatology", "07_model_output/reconstruct/climatology"
    shutil.copytree(finished / drawn, models / drawn)
    project("evaluation", data_root=models, namespaces=[address])
    store = next((models / drawn).glob("*.zarr"))
    for name in ("model", "observations"):
        with ZarrDataset(filepath=str(store)).load() as stored:
            changed = stored.load().assign_attrs({name: "0" * 12})
        ZarrDataset(filepath=str(store)).save(changed)
        with pytest.raises(InputError, match=f"were drawn with {name} 000000000000, this run has"):
            project("evaluation", data_root=models, namespaces=[address])
        shutil.rmtree(store)
        shutil.copytree(finished / drawn / store.name, store)
