"""The task `forecast` from data to tables, on the tiny planet."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import fieldcast
from fieldcast.datasets import ZarrDataset
from fieldcast.encoding.checkpoint import pack, unpack
from fieldcast.errors import InputError
from fieldcast.experiments import experiments
from fieldcast.inference.forecasts.ensemble import EnsembleForecaster
from fieldcast.scores.leaderboard import FORECAST
from fieldcast.tasks.forecast import rank

KEYS = ["experiment", "lead_hours", "region", "variable", "score"]
ROOT = Path(__file__).parents[2]
FORECAST_NAMES = {
    name.removeprefix("forecast.") for name in experiments(ROOT / "conf") if name.startswith("forecast.")
}
ALONE = {  # with weights of their own
    *("climatological_ensemble", "linear_inverse_model", "crps_ensemble", "corrected_inverse_model")
}


@pytest.fixture(scope="module", params=["some", pytest.param("every", marks=pytest.mark.proof)])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A data root after some experiments, or after every one, and their names."""
    if request.param == "some":
        return request.getfixturevalue("forecasted"), {*request.getfixturevalue("some_forecasts")}
    data_root = tmp_path_factory.mktemp("every_forecast")
    request.getfixturevalue("forecasting")(data_root)
    return data_root, FORECAST_NAMES


@pytest.fixture(scope="module")
def board(run: tuple[Path, set[str]]) -> pd.DataFrame:
    return pd.read_csv(run[0] / "08_reporting/leaderboard_forecast.csv")


def test_the_leaderboard_has_every_score_once(run: tuple[Path, set[str]], board: pd.DataFrame) -> None:
    assert list(board) == ["experiment", "seed", "data_digest", *KEYS[1:], "value", "low", "high"]
    assert not board.duplicated(KEYS).any()
    expected = {(name, score) for name in run[1] for score in FORECAST.metrics}
    missing = {("linear_inverse_model", "crps_minus_reference")}  # it is the reference
    assert set(board[["experiment", "score"]].itertuples(index=False, name=None)) == expected - missing
    assert set(board["variable"]) == {"all", "z500", "t650", "u200", "ws800"}


def test_a_blow_up_is_reported_and_stops_nothing(run: tuple[Path, set[str]], board: pd.DataFrame) -> None:
    """`decoder_l1_rk4` steps by 1e30 times its tendency; all others are scored and shown as if it were not there."""
    data_root, _ = run
    stability = pd.read_csv(data_root / "08_reporting/stability.csv").groupby("experiment")["finite"].all()
    assert not stability["decoder_l1_rk4"] and stability.drop("decoder_l1_rk4").all()
    crps = (
        board[(board["score"] == "crps") & (board["variable"] == "all")].groupby("experiment")["value"].max()
    )
    assert not crps["decoder_l1_rk4"] < 1e6 and (crps.drop("decoder_l1_rk4") < 10).all()
    page = (data_root / "08_reporting/report.html").read_text(encoding="utf-8")
    assert "decoder_l1_rk4" in page and "crps_ensemble" in page


def test_differences_and_skill_follow_from_the_scores(board: pd.DataFrame) -> None:
    wide = board.pivot(index=KEYS[:4], columns="score", values="value")
    for name in ALONE - {"linear_inverse_model"}:
        private, reference, free = (
            wide.loc[item] for item in (name, "linear_inverse_model", "climatological_ensemble")
        )
        assert np.allclose(private["crps_minus_reference"], private["crps"] - reference["crps"], atol=1e-6)
        assert np.allclose(private["skill"], 1 - private["crps"] / free["crps"], atol=1e-6)


def test_the_long_rollouts_are_one_table(run: tuple[Path, set[str]]) -> None:
    data_root, names = run
    table = pd.read_csv(data_root / "08_reporting/stability.csv")
    assert list(table) == ["experiment", "step", "mean", "std", "max_abs", "spectrum_ratio", "finite"]
    assert set(table["experiment"]) == names - {"perfect_model"}  # what is made elsewhere has none
    assert all(private["step"].tolist() == [1, 2, 3, 4] for _, private in table.groupby("experiment"))


def test_every_experiment_but_external_forecasts_has_one_row_of_costs(run: tuple[Path, set[str]]) -> None:
    data_root, names = run
    table = pd.read_csv(data_root / "08_reporting/costs.csv").set_index("experiment")
    assert set(table["task"]) == {"forecast"} and sorted(table.index) == sorted(names - {"perfect_model"})
    assert table.loc[["vae", "vae_rk4"], "evaluations"].tolist() == [1, 4]


BORROWED = {"vae_mean": ("vae", {"feedback": "mean"})}


@pytest.mark.parametrize("name", sorted(ALONE | {"vae", *BORROWED}))
def test_a_trained_model_alone_gives_what_is_stored(forecasted: Path, name: str) -> None:
    """Forecast from the first start with the seed of the run."""
    fields = xr.open_zarr(forecasted / "03_primary/fields.zarr")
    stored = xr.open_zarr(forecasted / f"07_model_output/forecast/{name}/draws.zarr")
    expected = fields.isel(time=fields["time"].values <= stored["start"].values[0])
    weights_of, how = BORROWED.get(name, (name, {}))
    model = fieldcast.load(forecasted / f"06_models/forecast/{weights_of}/checkpoint.safetensors", **how)
    result = model.forecast(expected, stored.sizes["lead"], stored.sizes["member"])
    for v in stored.data_vars:
        spread = float(fields[v].std())
        assert np.allclose(result[v], stored[v].isel(start=0), rtol=0, atol=1e-4 * spread), v


def test_forecasts_are_not_scored_as_what_they_are_not(project: Any, forecasted: Path) -> None:
    phrases = r"the checkpoint of 'forecast\.vae' was trained with seed 0, this run has 1: train it again"
    with pytest.raises(InputError, match=phrases):
        project("evaluation", data_root=forecasted, namespaces=["forecast.vae"], parameters={"seed": 1})


def test_the_report_has_the_task(forecasted: Path) -> None:
    page = (forecasted / "08_reporting/report.html").read_text(encoding="utf-8")
    assert "Forecasts" in page and "The long rollout" in page
    assert (forecasted / "08_reporting/forecast.gif").stat().st_size < 2e6


LEADS = 80
ROLLOUT = {"steps": LEADS, "initial_times": 4}


def rollout_process(data_root: Path) -> subprocess.Popen[str]:
    """`kedro run` of a rollout in a process of its own."""
    requested = {
        "data_root": data_root,
        "limits.times": LEADS,
        **{f"rollout.{key}": n for key, n in ROLLOUT.items()},
    }
    params = ",".join(f"{key}={value}" for key, value in requested.items())
    phrases = [
        "run",
        "--env",
        "test",
        "--pipelines",
        "rollout",
        "--namespaces",
        "forecast.vae",
        "--params",
        params,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "kedro", *phrases]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.proof
def test_a_rollout_killed_again_and_again_ends_with_the_same_numbers(
    project: Any, finished: Path, tmp_path: Path
) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    shutil.copytree(finished / "03_primary", alone / "03_primary")
    requested: dict[str, Any] = {
        "data_root": alone,
        "parameters": {"limits": {"times": LEADS}, "rollout": ROLLOUT},
    }
    project("initial_times", **requested)
    for stage in ("training", "rollout"):
        project(stage, namespaces=["forecast.vae"], **requested)
    shutil.copytree(alone, killed, ignore=shutil.ignore_patterns("07_model_output"))
    private = killed / "07_model_output/forecast/vae"
    moments, reached = random.Random(0), [0]
    for _ in range(2):
        item = rollout_process(killed)
        while item.poll() is None and leads(private / "draws.zarr.partial") <= reached[-1] + 5:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.1))
        item.send_signal(signal.SIGKILL)
        item.communicate()
        reached.append(leads(private / "draws.zarr.partial"))
    assert 0 < reached[1] < reached[2] < LEADS
    last = rollout_process(killed)
    sentence, _ = last.communicate(timeout=300)
    assert last.returncode == 0, sentence
    left_alone = alone / private.relative_to(killed)
    for name in ("draws.zarr", "snapshots.zarr"):
        xr.testing.assert_identical(xr.open_zarr(private / name), xr.open_zarr(left_alone / name))
    assert xr.open_zarr(private / "draws.zarr").sizes["lead"] == LEADS
    assert (private / "stability.csv").read_bytes() == (left_alone / "stability.csv").read_bytes()


def leads(store: Path) -> int:
    """Number of leads of an unfinished rollout on disk."""
    return len(list(store.glob("z500/c/[0-9]*")))


@pytest.fixture
def copied(forecasted: Path, tmp_path: Path) -> Path:
    """Inputs of the evaluation of one experiment, to be modified."""
    parts = [
        "03_primary",
        "04_feature",
        *(f"{layer}/forecast/vae" for layer in ("06_models", "07_model_output")),
    ]
    for part in parts:
        shutil.copytree(forecasted / part, tmp_path / part)
    return tmp_path


def test_forecasts_of_another_training_or_from_other_starts_are_refused(
    project: Any, forecasted: Path, copied: Path
) -> None:
    """Whatever was drawn before is not scored under the name of what is there now."""
    project("evaluation", data_root=copied, namespaces=["forecast.vae"])
    for stage in ("rollout", "evaluation"):
        with pytest.raises(
            InputError, match=r"the stored initial times were chosen with .*: choose them again"
        ):
            requested = {"rollout": {"members": 2}}
            project(stage, data_root=copied, namespaces=["forecast.vae"], parameters=requested)
    with pytest.raises(InputError, match="the forecasts were drawn with feedback members, this run has mean"):
        requested = {"forecast": {"vae": {"options": {"feedback": "mean"}}}}
        project("evaluation", data_root=copied, namespaces=["forecast.vae"], parameters=requested)
    checkpoint = copied / "06_models/forecast/vae/checkpoint.safetensors"
    trained = unpack(checkpoint.read_bytes())
    next(trained.model.parameters()).data.add_(0.1)
    checkpoint.write_bytes(pack(trained.model, trained.codec, trained.header))
    with pytest.raises(InputError, match=r"the forecasts were drawn with model .* draw them again"):
        project("evaluation", data_root=copied, namespaces=["forecast.vae"])


def test_a_finished_rollout_is_not_drawn_again(
    project: Any, forecasted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    run = EnsembleForecaster.run
    monkeypatch.setattr(
        EnsembleForecaster,
        "run",
        lambda self, *given: map(lambda step: steps.append(1) or step, run(self, *given)),
    )
    store = forecasted / "07_model_output/forecast/vae/draws.zarr"
    before = {file: file.stat().st_mtime_ns for file in store.rglob("*")}
    project("rollout", data_root=forecasted, namespaces=["forecast.vae"])
    assert not steps and {file: file.stat().st_mtime_ns for file in store.rglob("*")} == before
    (forecasted / "08_reporting/forecast/vae/costs.csv").unlink()  # what drawing cost is not known any more
    project("rollout", data_root=forecasted, namespaces=["forecast.vae"])
    assert len(steps) == xr.open_zarr(store).sizes["lead"]


def test_draws_of_a_model_with_another_climatology_or_base_are_refused(
    project: Any, forecasted: Path, tmp_path: Path
) -> None:
    """Neither is part of the fields, whose digest is the same."""
    name, base = "corrected_inverse_model", "06_models/forecast/linear_inverse_model"
    outputs = (f"{layer}/forecast/{name}" for layer in ("06_models", "07_model_output"))
    for part in ("03_primary", "04_feature", base, *outputs):
        shutil.copytree(forecasted / part, tmp_path / part)
    selected: dict[str, Any] = {"data_root": tmp_path, "namespaces": [f"forecast.{name}"]}
    checkpoint = tmp_path / base / "checkpoint.safetensors"
    trained = unpack(content := checkpoint.read_bytes())
    other = pack(trained.model, replace(trained.codec, deviation=2 * trained.codec.deviation), trained.header)
    checkpoint.write_bytes(other)
    for stage in ("rollout", "evaluation"):
        with pytest.raises(
            InputError, match=rf"'forecast.{name}' was trained with base \w+, this run has \w+: train"
        ):
            project(stage, **selected)
    checkpoint.write_bytes(content)
    climatology = ZarrDataset(filepath=str(tmp_path / "03_primary/climatology.zarr"))
    climatology.save(climatology.load().map(lambda values: values + 1, keep_attrs=True))
    for stage in ("rollout", "evaluation"):
        with pytest.raises(
            InputError, match=r"was trained with statistics \w+, this run has \w+: train it again"
        ):
            project(stage, **selected)


def test_an_earlier_perfect_model_is_not_adopted(project: Any, copied: Path, forecasted: Path) -> None:
    """Stored forecasts of the perfect model are refused with another seed or initial error."""
    part = "07_model_output/forecast/perfect_model"
    shutil.copytree(forecasted / part, copied / part)
    selected: dict[str, Any] = {"data_root": copied, "namespaces": ["forecast.perfect_model"]}
    project("rollout", **selected)
    for requested in ({"seed": 1}, {"rollout": {"perfect_model": {"initial_error": 0.2}}}):
        with pytest.raises(
            InputError, match=r"the forecasts of the perfect model were made with .*: recreate them"
        ):
            project("rollout", parameters=requested, **selected)
        with pytest.raises(InputError, match=r"the forecasts were drawn with \w+ .*, this run has"):
            project("evaluation", parameters=requested, **selected)


def test_scores_of_other_fields_are_left_out_of_the_table(forecasted: Path) -> None:
    """Fields that were recreated under a root that still holds older scores."""
    fields = xr.open_zarr(forecasted / "03_primary/fields.zarr")
    initial_times = json.loads((forecasted / "04_feature/initial_times.json").read_text())
    scores = pd.read_parquet(forecasted / "08_reporting/forecast/vae/scores.parquet")
    for digest, records in ((fields.attrs["digest"], True), ("0" * 12, False)):
        results = {"scores": {"vae": scores}, "experiments": {}, "initial_times": initial_times}
        table, _ = rank(results, fields.assign_attrs(digest=digest), 0)
        assert bool(len(table)) is records and bool(table.attrs["dropped"]) is not records


def test_a_long_rollout_of_an_earlier_training_is_left_out(forecasted: Path) -> None:
    """After a new training and rollout without its long rollout, the stored one belongs to the earlier weights."""
    fields = xr.open_zarr(forecasted / "03_primary/fields.zarr")
    initial_times = json.loads((forecasted / "04_feature/initial_times.json").read_text())
    scores = pd.read_parquet(forecasted / "08_reporting/forecast/vae/scores.parquet")
    long = pd.read_csv(forecasted / "07_model_output/forecast/vae/stability.csv")
    for table, displayed in ((long, True), (long.assign(model="0" * 12), False)):
        results = {"scores": {"vae": scores}, "stability": {"vae": table}, "experiments": {}}
        _, text = rank({**results, "initial_times": initial_times}, fields, 0)
        assert ("long rollout" in text) is displayed


UNFIT: list[tuple[str, dict[str, Any], str]] = [
    (
        "vae_direct",
        {"fit": {"rollout": 3}},
        "fit.rollout and fit.pushforward_steps are for forecasts of stepped.Stepped",
    ),
    ("vae_rk4_trained", {"model": {"model": {"history": 0}}}, "set its model.history to 1 or above"),
    ("vae_direct", {"model": {"history": 0}}, "set its model.history to 1 or above"),
    (
        "decoder_l1",
        {"model": {"model": {"latent": 7, "encoder": {"latent": 5}}}},
        "model.model.encoder.latent = 5, but forecast.decoder_l1.model.model.latent = 7: set it there alone.",
    ),
    ("crps_ensemble", {"model": {"model": {"patch": 0}}}, "model.patch = 0 should be 1 to"),
]


@pytest.mark.parametrize(("name", "options", "words"), UNFIT)
def test_options_that_no_forecast_can_have_are_reported_in_one_sentence(
    project: Any, forecasted: Path, name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        project(
            "training",
            data_root=forecasted,
            namespaces=[f"forecast.{name}"],
            parameters={"forecast": {name: options}},
        )
