"""Leaderboards of several runs become tables over seeds, on disk and in a few lines."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fieldcast.app.error_messages import sentence
from fieldcast.encoding.tensor_file import pack_bytes, unpack_bytes
from fieldcast.errors import InputError
from fieldcast.inference.multi_seed import refuse_other_runs
from fieldcast.inference.options import Seeds

TASK_COLUMNS = {
    "reconstruct": {"pattern": "random", "k": 0.1, "cells": "unobserved", "variable": "all", "score": "crps"},
    "forecast": {"lead_hours": 24.0, "region": "globe", "variable": "all", "score": "crps"},
    "sample": {"score": "fid"},
}


def write(run: Path, seed: int, task: str, values: dict[str, float]) -> None:
    """A leaderboard of one score, by experiment."""
    of = {"seed": seed, "data": "abc", **TASK_COLUMNS[task]}
    records = [
        {"experiment": name, **of, "value": value, "low": 0.0, "high": 9.0} for name, value in values.items()
    ]
    (run / "08_reporting").mkdir(parents=True, exist_ok=True)
    pd.DataFrame(records).to_csv(run / f"08_reporting/leaderboard_{task}.csv", index=False)


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Two runs: both have been scored on reconstructions, the second alone on samples."""
    result = [tmp_path / "data", tmp_path / "data_seed1"]
    for seed, run in enumerate(result):
        write(run, seed, "reconstruct", {"vae": 0.25 + 0.02 * seed, "climatology": 0.7})
    write(result[1], 1, "sample", {"ddpm": 0.018})
    return [str(run) for run in result]


@pytest.mark.parametrize("joined", [True, False])
def test_runs_of_two_seeds_are_gathered(
    project: Callable[..., Any], runs: list[str], tmp_path: Path, capsys: Any, joined: bool
) -> None:
    named = "+".join(runs) if joined else runs
    project("seeds", data_root=tmp_path / "new", parameters={"seeds": {"runs": named}})
    folder = tmp_path / "new/08_reporting"
    table = pd.read_csv(folder / "seeds_reconstruct.csv").set_index("experiment")
    np.testing.assert_allclose(
        table.loc["vae", ["seeds", "value", "sd"]].astype(float), [2, 0.26, 0.02 / 2**0.5]
    )
    assert table.loc["climatology", "sd"] == 0
    sample = pd.read_csv(folder / "seeds_sample.csv")
    assert list(sample["seeds"]) == [1] and sample["sd"].isna().all()
    assert pd.read_csv(folder / "seeds_forecast.csv").empty
    printed = capsys.readouterr().out
    for line in (
        "mean ± standard deviation; seeds: 2",
        "vae            0.260 ± 0.014",
        "climatology    0.700 ± 0.000",
        "mean ± standard deviation; seeds: 1",
        "ddpm       0.018",
    ):
        assert line in [item.rstrip() for item in printed.splitlines()]
    assert "Forecasts" not in printed
    assert (folder / "summary_seeds.txt").read_text() in printed


def test_incompatible_runs_end_in_a_sentence(
    project: Callable[..., Any], runs: list[str], tmp_path: Path
) -> None:
    with pytest.raises(Exception) as result:  # the runner may wrap it
        project("seeds", data_root=tmp_path, parameters={"seeds": {"runs": [runs[0], runs[0]]}})
    assert "both have seed 0" in (sentence(result.value) or "")


def test_runs_must_be_named() -> None:
    assert Seeds(" data + data_seed1+").folders() == ["data", "data_seed1"]
    assert Seeds(["a+b"]).folders() == ["a+b"]
    for nothing in (None, "", "+", []):
        with pytest.raises(
            InputError, match=r"seeds.runs is not set: say which runs, with --params seeds.runs"
        ):
            Seeds(nothing).folders()


def test_runs_that_differ_in_more_than_their_seed_are_refused(finished: Path, tmp_path: Path) -> None:
    """Their checkpoints and what they were scored on say so, where the leaderboards look alike."""
    for run in ("one", "other"):
        for layer in ("06_models/reconstruct/denoising_vae", "08_reporting/reconstruct/denoising_vae"):
            shutil.copytree(finished / layer, tmp_path / run / layer)
    runs = {str(tmp_path / run): ["reconstruct/denoising_vae"] for run in ("one", "other")}
    refuse_other_runs(runs)
    file = tmp_path / "other/08_reporting/reconstruct/denoising_vae/scores.parquet"
    scores = pd.read_parquet(file)
    scores.assign(case_digest="0" * 12).to_parquet(file)
    with pytest.raises(InputError, match=r"reconstruct/denoising_vae, case_digest .*only in their `seed`"):
        refuse_other_runs(runs)
    refuse_other_runs({run: ["reconstruct/linear"] for run in runs})  # what is not gathered does not count
    scores.to_parquet(file)
    checkpoint = tmp_path / "other/06_models/reconstruct/denoising_vae/checkpoint.safetensors"
    tensors, header = unpack_bytes(checkpoint.read_bytes(), "it")
    checkpoint.write_bytes(pack_bytes(tensors, {**header, "fit": {**header["fit"], "steps": 1234}}))
    with pytest.raises(InputError, match=r"denoising_vae, fit\.steps \(\d+, 1234\)"):
        refuse_other_runs(runs)
    of_plugin = {
        **header,
        "fitted_by": [*header["fitted_by"], "grain"],
        "grain": 1,
    }  # an option of another task
    checkpoint.write_bytes(pack_bytes(tensors, of_plugin))
    first = tmp_path / "one/06_models/reconstruct/denoising_vae/checkpoint.safetensors"
    first.write_bytes(pack_bytes(tensors, {**of_plugin, "grain": 2}))
    with pytest.raises(InputError, match=r"denoising_vae, grain \(2, 1\)"):
        refuse_other_runs(runs)
