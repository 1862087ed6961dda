"""studies/training_of_000.py: paired differences of known size, and the verdict that follows from their interval."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from fieldcast.training.options import Fit

DOCS = Path(__file__).parents[2] / "docs"
TIMES = [f"0011-{month:02d}-01T00:00:00" for month in range(1, 13)]
CRPS = {0.01: 0.5, 0.1: 0.3}  # of the configured training, at the middle time


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    script = importlib.import_module("studies.training_of_000")
    monkeypatch.setattr(script, "STORE", tmp_path)
    monkeypatch.setattr(script, "mean_cost", lambda *_: 100.0)
    return script


def write(script: ModuleType, training: str, seed: int, excess: float) -> None:
    """Scores that vary with time, by `excess` above those of the configured training at each time."""
    rows = [
        {"pattern": pattern, "k": k, "cells": cells, "variable": "all", "statistic": statistic, "time": time,
         "value": (1 + far) * (crps + 0.01 * month + excess)}
        for k, crps in CRPS.items() for month, time in enumerate(TIMES)
        for statistic in ("crps", "squared_error")
        for pattern, cells, far in (("random", "unobserved", 0), ("random", "all", 9), ("blocks", "unobserved", 9))
    ]  # fmt: skip
    file = script.scores_file(training, seed)
    file.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(file)


@pytest.mark.parametrize(("excess", "verdict"), [(0.02, "worse than"), (-0.02, "no worse than")])
def test_a_difference_that_is_the_same_at_all_times_is_its_own_interval(
    script: ModuleType, excess: float, verdict: str
) -> None:
    for seed in (0, 2):
        write(script, "configured", seed, 0.0)
        write(script, "report", seed, excess * (seed + 1) / 2)  # the mean over both seeds is `excess`
    write(script, "report", 1, 99.0)  # without its counterpart
    record = pd.DataFrame(script.differences())
    crps = record[record["score"] == "crps"].set_index(["seeds", "k"])
    for seeds, size in (("0", excess / 2), ("2", 1.5 * excess), ("0 2", excess)):
        for k in ("0.01", "0.1", "all"):
            line = crps.loc[(seeds, k), ["difference", "low", "high"]]
            assert line.to_numpy(float) == pytest.approx(size, abs=1e-9)
    mean = np.mean(list(CRPS.values())) + 0.01 * 5.5
    assert crps.loc[("0 2", "all"), "configured"] == pytest.approx(mean)
    assert f"is {verdict} the configured one" in script.table(record)


def test_a_difference_that_time_may_explain_is_no_worse(script: ModuleType) -> None:
    """Half of the times are better by as much as the others are worse."""
    write(script, "configured", 0, 0.0)
    write(script, "report", 0, 0.0)
    file = script.scores_file("report", 0)
    scores = pd.read_parquet(file)
    scores["value"] += np.where(scores["time"].isin(TIMES[::2]), 0.05, -0.045)
    scores.to_parquet(file)
    record = pd.DataFrame(script.differences())
    line = record[(record["score"] == "crps") & (record["k"] == "all")].iloc[-1]
    assert line["low"] < 0 < line["difference"]
    assert "is no worse than the configured one" in script.table(record)


def test_both_trainings_warm_up_over_the_same_share_of_their_steps(script: ModuleType) -> None:
    """3066 states of the planet: 2000 steps, and 10 epochs of them in batches of 16, which are 1917 steps."""
    configured, report = (
        Fit(
            **{
                name.removeprefix("fit."): value
                for name, value in training.items()
                if name.startswith("fit.")
            }
        )
        for training in (script.TRAININGS["configured"], script.TRAININGS["report"])
    )
    assert configured.counted(3066).steps == 2000 and report.counted(3066).steps == 1917
    share = np.divide(script.TRAININGS["configured"]["model.kl_warm_up"], configured.steps)
    assert share == pytest.approx(script.TRAININGS["report"]["model.kl_warm_up"])
