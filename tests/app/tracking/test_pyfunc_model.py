"""A finished checkpoint is a model that MLflow loads elsewhere; the best of the registered ones is the champion."""

import importlib.metadata
import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cftime
import mlflow
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from mlflow import MlflowClient

import fieldcast
from fieldcast.app.tracking import pyfunc_model, record
from fieldcast.app.tracking.record import Record
from fieldcast.app.tracking.stored import PARENT, Stored
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.inference.options import StateOptions
from fieldcast.tasks.forecast import Forecasting
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.tasks.sample import StateSampling
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train
from tests.worlds import World, make_world

ROOT = Path(__file__).parents[3]
PROBLEMS = {
    "reconstruct.oi": (
        Reconstruction(Sparsification()),
        {"type": "optimal_interpolation.OptimalInterpolation"},
    ),
    "reconstruct.linear": (Reconstruction(Sparsification()), {"type": "interpolation.Linear"}),
    "forecast.lim": (Forecasting(), {"type": "linear_inverse_model.LinearInverseModel"}),
    "sample.ppca": (StateSampling(StateOptions()), {"type": "probabilistic_pca.ProbabilisticPCA"}),
}


@pytest.fixture(scope="module")
def checkpoint(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files of trained models, by address."""
    files: dict[str, Path] = {}

    def make(address: str) -> Path:
        if address not in files:
            problem, model = PROBLEMS[address]
            recipe = Recipe(problem, model, Fit(), 0, Limits(times=4), "cpu")
            files[address] = tmp_path_factory.mktemp(address) / "checkpoint.safetensors"
            files[address].write_bytes(list(train(recipe, world.data, None))[-1].checkpoint)
        return files[address]

    return make


@pytest.fixture
def stored(checkpoint: Any, tmp_path: Path) -> Callable[[str], Any]:
    """A model as MLflow stores and loads it."""

    def load(address: str) -> Any:
        pyfunc_model.save(checkpoint(address), tmp_path / address)
        return mlflow.pyfunc.load_model(str(tmp_path / address))

    return load


def test_a_stored_reconstruction_fills_as_the_checkpoint_does(
    checkpoint: Any, stored: Any, world: Any, tmp_path: Path
) -> None:
    data = world.split("test")[["t", "z"]].isel(time=slice(10, 12))
    data = data.where(
        xr.DataArray(np.random.default_rng(0).uniform(size=data["t"].shape) < 0.3, dims=data["t"].dims)
    )
    arrays = {"time": data["time"].values.astype("M8[s]").astype(np.int64)}
    arrays |= {v: data[v].values.astype(np.float32) for v in ("t", "z")}
    filled = stored("reconstruct.oi").predict(arrays, params={"members": 3, "seed": 5})
    expected = fieldcast.load(checkpoint("reconstruct.oi")).fill(data, members=3, seed=5)
    for name in ("t", "z_mean", "z_spread"):
        np.testing.assert_allclose(filled[name], expected[name].values, rtol=1e-5)
    assert filled["t"].shape == (2, 3, 7, 12)
    files = [file.name for file in tmp_path.rglob("*") if file.is_file()]
    assert "checkpoint.safetensors" in files and not [
        name for name in files if name.endswith((".pkl", ".pickle"))
    ]
    required = (tmp_path / "reconstruct.oi" / "requirements.txt").read_text().split()
    assert f"fieldcast=={importlib.metadata.version('fieldcast')}" in required


@pytest.fixture(scope="module")
def planet_world() -> World:
    """A world of the year 12 in the calendar of the simulated planet."""
    world = make_world()
    dates = xr.date_range("0009-01-01", periods=world.sizes["time"], calendar="noleap", use_cftime=True)
    return World(world.assign_coords(time=dates))


def trained_on(world: World, address: str, file: Path) -> Path:
    problem, model = PROBLEMS[address]
    recipe = Recipe(problem, model, Fit(), 0, Limits(times=4), "cpu")
    file.write_bytes(list(train(recipe, world.data, None))[-1].checkpoint)
    return file


@pytest.mark.parametrize("address", ["reconstruct.oi", "forecast.lim"])
def test_dates_are_those_of_the_calendar_of_the_model(
    address: str, planet_world: World, tmp_path: Path
) -> None:
    file = trained_on(planet_world, address, tmp_path / "checkpoint.safetensors")
    pyfunc_model.save(file, tmp_path / "model")
    model, trained = mlflow.pyfunc.load_model(str(tmp_path / "model")), fieldcast.load(file)
    assert model.metadata.metadata["calendar"] == "noleap"
    july = planet_world.fields[["t", "z"]].sel(time=slice("0012-07-01", "0012-07-02"))
    if address == "reconstruct.oi":  # only where little is observed does the climatology of the day show
        july = july.where(xr.DataArray(np.arange(12) == 0, dims="longitude"))
    count = cftime.date2num(july["time"].values, "seconds since 1970-01-01", calendar="noleap")
    arrays = {"time": count.astype(np.int64), **{v: july[v].values for v in ("t", "z")}}
    drawn = model.predict(arrays, params={"members": 2, "seed": 3})
    if address == "reconstruct.oi":
        expected = trained.fill(july, 2, seed=3)
    else:
        expected = trained.forecast(july, 10, 2, 3)
        dates = cftime.num2date(drawn["time"], "seconds since 1970-01-01", calendar="noleap")
        assert [date.isoformat() for date in dates] == [f"0012-07-{day:02d}T00:00:00" for day in range(3, 13)]
    np.testing.assert_allclose(drawn["z_mean"], expected["z_mean"].values, rtol=1e-5)


def test_the_example_in_the_documents_runs(planet_world: World, tmp_path: Path) -> None:
    pyfunc_model.save(
        trained_on(planet_world, "reconstruct.oi", tmp_path / "checkpoint.safetensors"), tmp_path / "model"
    )
    text = (ROOT / "docs" / "scale.md").read_text()
    example = next(block for block in text.split("```python")[1:] if "np.full(shape" in block)
    code = example.partition("```")[0].replace(
        "models:/fieldcast-reconstruct@champion", str(tmp_path / "model")
    )
    names: dict[str, Any] = {}
    exec(code.replace("z500", "z").replace("5500.0", "280.0"), names)
    assert names["filled"]["t_mean"].shape == (1, 7, 12) and np.isfinite(names["filled"]["t_mean"]).all()


@pytest.mark.parametrize("year", [-60_000_000_000, 20_000_000_000, 2**62])
def test_a_date_that_the_calendar_of_the_model_cannot_hold_is_refused(year: int, stored: Any) -> None:
    model = stored("reconstruct.oi")
    arrays = {**model.input_example, "time": np.array([year])}
    with pytest.raises(InputError, match="beyond the years 1678 to 2261 in the model's calendar"):
        model.predict(arrays)


def test_a_single_member_has_no_spread(stored: Any) -> None:
    model = stored("reconstruct.oi")
    drawn = model.predict(model.input_example, params={"members": 1})
    assert drawn["t_spread"].shape == drawn["t_mean"].shape and np.isnan(drawn["t_spread"]).all()


def test_a_model_is_stored_and_loaded_without_a_warning(
    stored: Any, recwarn: pytest.WarningsRecorder
) -> None:
    stored("reconstruct.linear")
    assert [str(warning.message) for warning in recwarn if warning.category is UserWarning] == []


@pytest.mark.parametrize("address", ["reconstruct.oi", "forecast.lim", "sample.ppca"])
def test_the_input_example_is_scored_and_the_outputs_are_as_the_signature_says(
    address: str, stored: Any
) -> None:
    model = stored(address)
    sizes = {"sample.ppca": {"samples": 2}}.get(address, {"members": 2})
    drawn = model.predict(model.input_example, params=sizes)
    signature = model.metadata.signature
    for spec in signature.outputs.inputs:
        array = drawn[spec.name]
        assert array.dtype == spec.type and array.ndim == len(spec.shape) and np.isfinite(array).all()
        assert all(size in (-1, actual) for size, actual in zip(spec.shape, array.shape, strict=True))
    assert drawn.keys() == {spec.name for spec in signature.outputs.inputs}
    assert sizes.keys() < {param.name for param in signature.params}
    assert model.metadata.metadata["units"].keys() == {"t", "z"}


def test_an_array_of_another_grid_is_refused(stored: Any) -> None:
    model = stored("reconstruct.oi")
    wrong = {
        name: array[..., :5] if array.ndim == 3 else array for name, array in model.input_example.items()
    }
    with pytest.raises(mlflow.exceptions.MlflowException, match="shape"):
        model.predict(wrong)


@pytest.fixture
def client(tmp_path: Path, empty: Path) -> MlflowClient:
    shutil.copy(empty, tmp_path / "mlflow.db")
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


class Table(NamedTuple):
    """A data set that holds a table of scores."""

    table: pd.DataFrame

    def load(self) -> pd.DataFrame:
        return self.table


def opened(database: Path, register: bool = True) -> Record:
    """A record whose parent has begun, without its thread."""
    options, run_params = {"experiment": "models", "register": register}, {"project_path": str(ROOT)}
    files = (database.parent / "files").as_uri()
    begun = Record(
        f"sqlite:///{database}", options, files, Pipeline([]), DataCatalog(), {}, run_params, {}, {}
    )
    begun._contexts = defaultdict(lambda: "training")
    begun._title = "run"
    begun._open()
    begun._monitor.finish()
    return begun


def run(
    database: Path,
    headlines: dict[str, float],
    checkpoint: Any,
    bounds: set[str] | None = None,
    data: str = "0123456789ab",
    cases: str = "cases",
) -> None:
    """A run in which experiments with these headlines were trained and scored on cases of some data."""
    begun = opened(database)
    attributes = {"digest": data, "source": "a world"}
    shape = ("time", "latitude", "longitude"), np.zeros((1, 7, 12), np.float32)
    begun._note_data(xr.Dataset({"t": shape}, attrs=attributes))
    begun._bounds = bounds or set()
    for address, value in headlines.items():
        begun._create(address, address, {}, {}, 0)
        path = checkpoint(address)
        begun._weights[address] = ""
        begun._log_model(Stored(address, "model", address, None, str(path), True), path)
        table = Table(scores_of(value, data, cases))
        rows: dict[str, Any] = defaultdict(list)
        begun._read_rows(Stored("scores", "metrics", address, table, "", True), rows)
        begun._log(address, rows[address])
    begun._describe()
    begun._register()
    begun._status = "FINISHED"
    assert begun._end_all(100.0) == 0


def test_data_have_a_schema_and_a_context(checkpoint: Any, client: MlflowClient, tmp_path: Path) -> None:
    run(tmp_path / "mlflow.db", {}, checkpoint)
    folder = client.get_experiment_by_name("models").experiment_id
    (parent,) = client.search_runs([folder], "datasets.context = 'training'")
    (given,) = parent.inputs.dataset_inputs
    assert json.loads(given.dataset.schema) == {
        "mlflow_colspec": [
            {"name": "t", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 7, 12]}}
        ]
    }


def scores_of(value: float, data: str, cases: str) -> pd.DataFrame:
    row = {"pattern": "random", "k": 0.1, "cells": "unobserved", "variable": "all", "score": "crps"}
    return pd.DataFrame([{**row, "value": value, "data_digest": data, "case_digest": cases}])


def test_the_champion_is_of_the_data_and_cases_of_the_first_one(
    checkpoint: Any, client: MlflowClient, tmp_path: Path
) -> None:
    database, name = tmp_path / "mlflow.db", "fieldcast-reconstruct"
    run(database, {"reconstruct.oi": 0.2}, checkpoint)
    first = client.get_model_version_by_alias(name, "champion").version
    run(database, {"reconstruct.linear": 0.01}, checkpoint, data="ba9876543210")
    run(database, {"reconstruct.linear": 0.02}, checkpoint, cases="more")
    assert client.get_model_version_by_alias(name, "champion").version == first
    assert client.get_registered_model(name).aliases == {"champion": first}
    run(database, {"reconstruct.linear": 0.1}, checkpoint)
    assert client.get_model_version_by_alias(name, "champion").tags["experiment"] == "reconstruct.linear"


def test_the_best_registered_checkpoint_is_the_champion(
    checkpoint: Any,
    client: MlflowClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = tmp_path / "mlflow.db"
    with caplog.at_level("INFO", "fieldcast"):
        run(database, {"reconstruct.oi": 0.2, "reconstruct.linear": 0.5}, checkpoint)
    assert "registered reconstruct.oi as fieldcast-reconstruct, version 1 (champion)" in caplog.messages
    champion = client.get_model_version_by_alias("fieldcast-reconstruct", "champion")
    assert champion.tags["experiment"] == "reconstruct.oi" and champion.tags["headline"] == "0.2"
    run(database, {"reconstruct.linear": 0.1}, checkpoint)
    champion = client.get_model_version_by_alias("fieldcast-reconstruct", "champion")
    assert champion.tags["experiment"] == "reconstruct.linear"
    # the same weights were logged and registered once
    assert len(client.search_model_versions("name = 'fieldcast-reconstruct'")) == 2
    folder = client.get_experiment_by_name("models").experiment_id
    models = client.search_logged_models([folder])
    rated = {(m.name, metric.key, metric.value) for m in models for metric in m.metrics}
    assert len(models) == 2 and rated == {
        ("reconstruct-oi", "headline", 0.2),
        ("reconstruct-linear", "headline", 0.5),
        ("reconstruct-linear", "headline", 0.1),
    }
    runs = client.search_runs([folder], "attributes.run_name = 'reconstruct.linear'")
    assert [len(client.get_metric_history(run.info.run_id, "headline")) for run in runs] == [1, 1]
    header = fieldcast.load(checkpoint("reconstruct.oi")).checkpoint.header
    (tuned,) = client.search_runs([folder], "attributes.run_name = 'reconstruct.oi'")
    assert (
        header["tuned"]
        and header["tuned"].items()
        == {
            name.removeprefix("tuned/"): value
            for name, value in tuned.data.metrics.items()
            if name.startswith("tuned/")
        }.items()
    )
    outputs = [client.get_run(run.info.run_id).outputs.model_outputs for run in runs]
    linear = {m.model_id for m in client.search_logged_models([folder]) if m.name == "reconstruct-linear"}
    assert len(outputs) == 2 and {output.model_id for part in outputs for output in part} == linear
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    mlflow.set_tracking_uri(f"sqlite:///{database}")
    try:
        model = mlflow.pyfunc.load_model("models:/fieldcast-reconstruct@champion")
    finally:
        mlflow.set_tracking_uri(None)
    assert model.predict(model.input_example, params={"members": 1})["t"].shape == (1, 1, 7, 12)


def test_a_database_that_was_begun_elsewhere_is_mentioned(
    checkpoint: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "here").mkdir()
    run(tmp_path / "mlflow.db", {}, checkpoint)
    assert "created in another folder" not in caplog.text
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "here")
    run(tmp_path / "here/mlflow.db", {}, checkpoint)
    assert (
        f"was created in another folder: files are still written to {(tmp_path / 'files').as_uri()}; to keep"
        in caplog.text
    )


def test_a_checkpoint_that_memory_does_not_hold_twice_is_recorded_as_a_file(
    checkpoint: Any, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "LOADING_MEMORY", 1e12)
    run(tmp_path / "mlflow.db", {"reconstruct.oi": 0.2}, checkpoint)
    folder = client.get_experiment_by_name("models").experiment_id
    assert not client.search_logged_models([folder])
    (child,) = client.search_runs([folder], "attributes.run_name = 'reconstruct.oi'")
    assert [file.path for file in client.list_artifacts(child.info.run_id)] == [
        checkpoint("reconstruct.oi").name
    ]


def test_bounds_do_not_become_champion(checkpoint: Any, client: MlflowClient, tmp_path: Path) -> None:
    headlines = {"reconstruct.oi": 0.2, "reconstruct.linear": 0.5}
    run(tmp_path / "mlflow.db", headlines, checkpoint, bounds={"reconstruct.oi"})
    champion = client.get_model_version_by_alias("fieldcast-reconstruct", "champion")
    assert champion.tags["experiment"] == "reconstruct.linear"


def test_a_filled_file_names_its_checkpoint_and_its_logged_model(
    checkpoint: Any, client: MlflowClient, tmp_path: Path
) -> None:
    run(tmp_path / "mlflow.db", {"reconstruct.oi": 0.2}, checkpoint)
    origin = fieldcast.load(checkpoint("reconstruct.oi")).origin("reconstruct.oi")
    filled = tmp_path / "filled.nc"
    xr.Dataset({"t": ("x", [1.0])}, attrs=origin).to_netcdf(filled)
    begun = opened(tmp_path / "mlflow.db")
    begun._client.set_tag(begun._ids[PARENT], "mlflow.runName", "fill · mine.nc")
    begun._log_result(PARENT, filled)
    folder = client.get_experiment_by_name("models").experiment_id
    (filling,) = client.search_runs([folder], "attributes.run_name = 'fill · mine.nc'")
    assert filling.data.tags["checkpoint"] == f"reconstruct.oi {origin['fieldcast_weights']}"
    assert filling.data.tags["output"] == str(tmp_path / "filled.nc")
    (model,) = client.search_logged_models([folder])
    inputs = client.get_run(filling.info.run_id).inputs.model_inputs
    assert [given.model_id for given in inputs] == [model.model_id]
