"""Exported models give the numbers of torch in onnxruntime, with the same noise."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import onnxruntime
import pytest
import torch
import xarray as xr
from click.testing import CliRunner

import fieldcast
from fieldcast.cli import cli
from fieldcast.encoding.options import Limits
from fieldcast.errors import InputError
from fieldcast.inference.onnx_export import ForecastStep, LatentDecoder, NoiseInputs, export
from fieldcast.inference.options import StateOptions
from fieldcast.tasks.forecast import Forecasting
from fieldcast.tasks.sample import StateSampling
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train

ROOT = Path(__file__).parents[2]
ENSEMBLE = {  # red noise and a filter
    "type": "stepped.Stepped",
    "filter_order": 4,
    "model": {
        "type": "ensemble.Ensemble",
        "history": 2,
        "noise": 4,
        "persistent_noise": 0.5,
        "channels": [8],
    },
}
CORRECTED = {  # a part in closed form, whose tuned values and eigenvectors are constants
    "type": "stepped.Stepped",
    "model": {
        "type": "corrected_dynamics.CorrectedDynamics",
        "base": {"type": "linear_inverse_model.LinearInverseModel"},
        "noise": 4,
        "channels": [8],
    },
}
VAE = {
    "type": "vae.VAE",
    "latent": 3,
    "encoder": {"type": "encoders.Network", "kind": "convolution"},
    "decoder": {"type": "decoders.ConvolutionDecoder"},
}


@pytest.fixture(autouse=True)
def symbolic_lead():
    """Type checks are off: while a model is exported its lead is a tensor, not an int."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def checkpoint(world, tmp_path_factory):
    """File of a trained model."""

    def make(problem, model):
        recipe = Recipe(problem, model, Fit(steps=3, batch=4), 0, Limits(times=40), "cpu")
        path = tmp_path_factory.mktemp("models") / "checkpoint.safetensors"
        path.write_bytes(list(train(recipe, world.data, None))[-1].checkpoint)
        return path

    return make


def normalised_error(states, expected, trained):
    """Largest difference between states (member, variable, y, x) and a forecast, in standard deviations."""
    truth = np.stack([expected[v].values for v in trained.codec.variables], axis=1)
    return np.abs((states - truth) / trained.codec.deviation[:, None, None]).max()


@pytest.mark.parametrize("model", [ENSEMBLE, CORRECTED])
def test_a_rollout_in_onnxruntime_is_the_forecast_of_torch(checkpoint, world, tmp_path, monkeypatch, model):
    """The states agree to 1e-4 standard deviations after one step, to 1e-3 after ten, over the turn of the year."""
    path = checkpoint(Forecasting(), model)
    export(path, tmp_path / "model.onnx", members=2)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    forecaster = fieldcast.load(path, "cpu")
    trained, history = forecaster.checkpoint, forecaster.checkpoint.model.history
    data = world.fields.sel(time=slice("2003-12-20", "2003-12-27"))
    expected = forecaster.forecast(data, 10, members=2, seed=7)
    last = data.isel(time=slice(-history, None))
    state = np.stack([last[v].values for v in trained.codec.variables], axis=1)
    states = np.broadcast_to(state, (2, *state.shape))
    begin = trained.field_codec.days(last["time"]).numpy()[0]
    step = ForecastStep(trained)
    for lead in range(1, 11):
        day = (begin + np.arange(lead - 1, lead + history, dtype=np.float32) / 365) % 1
        draws = NoiseInputs(7, torch.zeros(2, dtype=torch.long), number=torch.arange(2)[:, None], lead=lead)
        with torch.no_grad():
            step.next_states(torch.tensor(states), torch.from_numpy(day), draws)
        noise = {name: tensor.numpy() for name, tensor in zip(draws.names, draws.given.values(), strict=True)}
        given = {"states": states, "day": day, "lead": np.array(lead), **noise}
        (following,) = session.run(None, given)
        error = normalised_error(following, expected.isel(lead=lead - 1), trained)
        assert error < (1e-4 if lead == 1 else 1e-3), lead
        states = np.concatenate([states[:, 1:], following[:, None]], axis=1)
    facts = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert facts["variables"] == ["t", "z"] and facts["units"] == {"t": "K", "z": "m"}
    assert facts["latitude"] == world.fields["latitude"].values.tolist() and facts["step_hours"] == 24
    assert facts["calendar"] == world.fields["time"].dt.calendar
    if model is CORRECTED:
        run_the_example_of_the_documents(monkeypatch, tmp_path, states, day)


def run_the_example_of_the_documents(monkeypatch, folder, states, day):
    """Run the documented example, whose inputs are the last states of each member and the days."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/scale.md").read_text(), re.DOTALL)
    (example,) = (block for block in blocks if "onnxruntime" in block)
    names = {"states": states, "day": day}
    monkeypatch.chdir(folder)
    exec(example, names)
    assert names["following"].shape == (2, 2, 7, 12) and np.isfinite(names["following"]).all()


@pytest.mark.parametrize(("calendar", "days"), [("360_day", 360), ("noleap", 365)])
def test_a_day_has_the_climatology_that_training_subtracted(checkpoint, calendar, days):
    trained = fieldcast.load(checkpoint(Forecasting(), CORRECTED), "cpu").checkpoint
    step = ForecastStep(replace(trained, header={**trained.header, "calendar": calendar}))
    times = xr.date_range("2001-01-01", periods=days, calendar=calendar, use_cftime=True)
    expected = trained.field_codec.climatology_at(times)
    np.testing.assert_array_equal(step.climatology.numpy(), expected)


def test_a_decoder_in_onnxruntime_is_that_of_torch(checkpoint, tmp_path):
    path = checkpoint(StateSampling(StateOptions()), VAE)
    phrases = ["export", str(path), "--output", str(tmp_path / "model.onnx"), "--members", "5"]
    outcome = CliRunner().invoke(cli, phrases, catch_exceptions=False)
    assert outcome.exit_code == 0
    assert re.fullmatch(r"\S*model.onnx: \d+\.\d MB, inputs latent \(5, 3\)\n", outcome.output)
    trained = fieldcast.load(path, "cpu").checkpoint
    latent = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = LatentDecoder(trained.model, trained.codec)(latent)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    (state,) = session.run(None, {"latent": latent.numpy()})
    assert state.shape == (5, 2, 7, 12)
    assert np.abs((state - expected.numpy()) / trained.codec.deviation[:, None, None]).max() < 1e-4
    assert session.get_modelmeta().custom_metadata_map["prior"] == '"StandardNormal"'
    (tmp_path / "full.onnx.partial").mkdir()
    with pytest.raises(InputError, match=r"full.onnx' cannot be written \(.+\): name a file"):
        export(path, tmp_path / "full.onnx")


def test_models_that_cannot_be_exported_are_refused(checkpoint, tmp_path, capfd):
    climatology = checkpoint(Forecasting(), {"type": "climatology.Climatology"})
    with pytest.raises(
        InputError, match=r"climatology.Climatology, which cannot be exported: only the step of"
    ):
        export(climatology, tmp_path / "model.onnx")
    analogue = checkpoint(Forecasting(), {"type": "analogue.Analogue"})
    capfd.readouterr()  # discards the output of the training
    with pytest.raises(InputError, match=r"analogue.Analogue cannot be written as ONNX \(TorchExportError\)"):
        export(analogue, tmp_path / "model.onnx")
    assert not capfd.readouterr().err and not (tmp_path / "model.onnx").exists()


def test_an_output_in_an_absent_folder_is_refused_before_anything_is_read():
    with pytest.raises(InputError, match=r"nowhere/model.onnx cannot be written: there is no folder nowhere"):
        export("no checkpoint", "nowhere/model.onnx")


def test_the_checkpoint_itself_is_not_replaced(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"a model")
    (tmp_path / "link").symlink_to(path)
    for output in (path, tmp_path / "link"):
        with pytest.raises(InputError, match="the output is the checkpoint itself"):
            export(path, output)
    assert path.read_bytes() == b"a model"


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "good.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(
        InputError, match=r"good.nc is not a checkpoint: name a checkpoint.safetensors of a trained"
    ):
        export(tmp_path / "good.nc", tmp_path / "model.onnx")


def test_noise_that_the_evaluations_of_a_step_share_is_one_input():
    draws = NoiseInputs(0, torch.arange(2))
    first, second = draws.again().normal(3), draws.again().normal(3)
    assert first is second and draws.names == ["normal_0"]
    assert draws.fork(1).normal(3) is not first and draws.persistent().uniform(2) is not None
    assert draws.names == ["normal_0", "normal_1", "persistent_uniform_2"]


def test_an_export_without_its_packages_names_the_extra(checkpoint, tmp_path, monkeypatch):
    path = checkpoint(Forecasting(), {"type": "persistence.Persistence"})
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"pip install 'fieldcast\[export\]'"):
        export(path, tmp_path / "model.onnx")
