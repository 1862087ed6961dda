"""Nodes side by side leave the record in MLflow that one process leaves, however the run ends."""

import multiprocessing
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from fieldcast.frame.runners import DaskRunner
from fieldcast.frame.side_by_side import SideBySide

pytestmark = pytest.mark.proof


@pytest.fixture
def tracked(toy: Path, empty: Path) -> Callable[[], dict[str, dict[str, Any]]]:
    """Switch tracking on in the small project; returns what the last run has recorded, by name of its runs."""
    (toy / "conf/base/tracking.yml").write_text("tracking: true\n")
    shutil.copy(empty, toy / "mlflow.db")

    def records() -> dict[str, dict[str, Any]]:
        client = MlflowClient(f"sqlite:///{toy / 'mlflow.db'}")
        folder = client.get_experiment_by_name("fieldcast").experiment_id
        runs = client.search_runs([folder], order_by=["attributes.start_time DESC"])
        last = runs[: len(runs) // 2 or None] if len(runs) > 3 else runs
        return {each.info.run_name: record(client, each) for each in last}

    def record(client: MlflowClient, each: Any) -> dict[str, Any]:
        keys = sorted(each.data.metrics)
        timed = {key for key in keys if key.startswith(("node_seconds", "system"))}
        points = {
            key: [(point.step, point.value) for point in client.get_metric_history(each.info.run_id, key)]
            for key in keys
            if key not in timed
        }
        differing = {"mlflow.parentRunId", "process", "mlflow.note.content"}
        return {
            "status": each.info.status,
            "parameters": each.data.params,
            "tags": {key: value for key, value in each.data.tags.items() if key not in differing},
            "points": points,
            "timed": {key for key in timed if key.startswith("node_seconds")},
            "files": sorted(file.path for file in client.list_artifacts(each.info.run_id)),
            "data": [(entry.dataset.name, entry.dataset.digest) for entry in each.inputs.dataset_inputs],
        }

    return records


@pytest.mark.parametrize("runner", [SideBySide, DaskRunner])
def test_the_record_is_that_of_one_process(session: Any, tracked: Any, runner: Any) -> None:
    session()
    alone = tracked()
    session(runner=runner(max_workers=2))
    beside = tracked()
    assert beside == alone and len(alone) == 3
    assert alone["sample.a"]["points"]["loss"] == [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]


def test_an_error_fails_the_experiment_of_its_node_alone(session: Any, tracked: Any) -> None:
    with pytest.raises(RuntimeError, match="a fault") as caught:
        session(
            parameters={"sample": {"a": {"fit": {"end": "broken late"}}}}, runner=SideBySide(max_workers=2)
        )
    assert any("in another process" in note and "nodes.py" in note for note in caught.value.__notes__)
    runs = tracked()
    failed = runs["sample.a · fit.end=broken late"]
    assert failed["status"] == "FAILED" and failed["tags"]["error"] == "RuntimeError: a fault"
    assert runs["sample.b"]["status"] == "FINISHED" and "error" not in runs["sample.b"]["tags"]
    assert {each["status"] for each in runs.values() if "task" not in each["tags"]} == {"FAILED"}
    assert not multiprocessing.active_children()


def test_sigterm_leaves_no_process_behind(toy: Path, kedro: Any, tracked: Any) -> None:
    process = kedro("run", "--runner", "SideBySide", "--params", "sample.a.fit.end=endless")
    wait_for((toy / "waiting").exists, process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 3  # the server, and two of its forks
    process.terminate()
    _, errors = process.communicate(timeout=30)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive and "Traceback" not in errors
    assert process.returncode == 143 and errors.count("run the same command again") == 1
    assert tracked()["sample.a · fit.end=endless"]["status"] == "KILLED"


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Return when a condition holds; fail when the process ends before, or after a minute."""
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
