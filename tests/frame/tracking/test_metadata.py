"""Names and values of parameters, metrics and tags."""

import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from fieldcast.errors import InputError
from fieldcast.frame.tracking import metadata


@dataclass(frozen=True)
class Rate:
    start: float = 0.1


def test_parameters_are_opened_to_the_last_value() -> None:
    nested = {"fit": {"rate": Rate(), "stages": [1, 2], "early": None, "limits": {}}, "seed": 0}
    assert metadata.as_text(nested) == {
        "fit.rate.start": "0.1",
        "fit.stages": "[1, 2]",
        "fit.early": "None",
        "seed": "0",
    }


def test_scores_are_named_by_what_all_experiments_share() -> None:
    columns = ["experiment", "score", "pattern", "k", "variable", "cells", "value"]
    records = [
        ("a", "crps", "random", 0.1, "all", "unobserved", 1.0),
        ("a", "crps", "random", 0.005, "all", "unobserved", 2.0),
        ("a", "crps", "random", 0.005, "z500", "unobserved", 3.0),
        ("a", "rmse", "random", 0.5, "all", "all", 4.0),
        ("a", "seconds", None, float("nan"), "all", "unobserved", 5.0),
        ("a", "ssr", "random", 0.2, "all", "unobserved", float("nan")),
    ]
    named = {key: value for key, value, *_ in metadata.scores(pd.DataFrame(records, columns=columns), 1)}
    assert named == {"crps/random/0.10": 1.0, "crps/random/0.005": 2.0, "seconds": 5.0}
    assert metadata.scores({"ess": 2}, 7) == [("ess", 2.0, 7, 0)]


def test_history_gives_what_is_new() -> None:
    table = pd.DataFrame({"step": [10, 20, 30], "seconds": [1.0, 2.0, 3.0], "loss": [3.0, math.nan, 1.0]})
    first, last = metadata.history(table[:2], float("-inf"), 5)
    assert first == [("seconds", 1.0, 5, 10), ("loss", 3.0, 5, 10), ("seconds", 2.0, 5, 20)]
    assert last == 20
    assert metadata.history(table, last, 6) == ([("seconds", 3.0, 6, 30), ("loss", 1.0, 6, 30)], 30.0)
    assert metadata.history(table[:0], last, 6) == ([], 20)


def test_local_names_the_server_in_every_environment_and_test_switches_it_off(tmp_path: Path) -> None:
    for name, text in {"base": "uri: null", "local": "uri: http://far", "test": "tracking: false"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "tracking.yml").write_text(text)
    assert metadata.options(tmp_path, None) == {
        "tracking": True,
        "uri": "http://far",
        "experiment": "fieldcast",
    }
    assert metadata.options(tmp_path, "demo")["uri"] == "http://far"
    assert metadata.options(tmp_path, "test")["tracking"] is False
    (tmp_path / "local" / "tracking.yml").write_text("url: http://far")
    with pytest.raises(InputError, match=r"tracking.yml has no key 'url'; did you mean uri\?"):
        metadata.options(tmp_path, None)


def test_the_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    assert metadata.commit(tmp_path) == {}
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    tags = metadata.commit(tmp_path)
    assert len(tags["mlflow.source.git.commit"]) == 40 and tags["git.dirty"] == "false"
    (tmp_path / "new").touch()
    assert metadata.commit(tmp_path)["git.dirty"] == "true"


def test_a_process_is_alive_until_it_ended() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert metadata.alive(os.getpid()) and metadata.alive(1) and not metadata.alive(process.pid)
