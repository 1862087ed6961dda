"""What MLflow holds after a run is what the run did, however it ended."""

import logging
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.runner import ParallelRunner
from mlflow import MlflowClient
from mlflow.entities import Run

# of sample.a: its last losses, and its scores over all variables at unobserved cells
METRICS = {"loss": 1 / 4, "seconds": 1.0, "crps/random/0.10": 0.5, "ssr/blocks/0.005": 0.9}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all its tables, because making one takes seconds."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def history(toy: Path, empty: Path) -> Callable[[], dict[str, Run]]:
    """Switch tracking on in the small project; the runs recorded, by name."""
    (toy / "conf/base/mlflow.yml").write_text("tracking: true\n")
    shutil.copy(empty, toy / "mlflow.db")

    def runs() -> dict[str, Run]:
        client = MlflowClient(f"sqlite:///{toy / 'mlflow.db'}")
        folder = client.get_experiment_by_name("fieldcast").experiment_id
        return {run.info.run_name: run for run in client.search_runs([folder])}

    return runs


def test_a_run_is_a_parent_with_a_child_for_each_experiment(toy: Path, session: Any, history: Any) -> None:
    session()
    runs = history()
    assert set(runs) == {"kedro run", "sample.a", "sample.b"}
    parent, a, b = runs["kedro run"], runs["sample.a"], runs["sample.b"]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert {run.data.tags.get("mlflow.parentRunId") for run in (a, b)} == {parent.info.run_id}
    # the same names of metrics, of the rows over all variables and the unobserved cells
    assert a.data.metrics == METRICS
    assert b.data.metrics.keys() == a.data.metrics.keys()
    # parameters: what the file says, and the defaults of what it does not say
    assert a.data.params["model.latent"] == "3" and b.data.params["model.latent"] == "5"
    assert a.data.params["fit.steps"] == "4" and b.data.params["fit.steps"] == "3"
    assert b.data.params["fit.rate.start"] == "0.001"
    assert parent.data.params == {"seed": "7"}
    # the data, to all
    assert {run.data.tags["data.digest"] for run in runs.values()} == {"0123456789ab"}
    assert parent.data.tags["version.kedro"].startswith("1.")
    client = MlflowClient(f"sqlite:///{toy / 'mlflow.db'}")
    assert {one.path for one in client.list_artifacts(a.info.run_id)} == {"state.json", "loss.png"}
    assert {one.path for one in client.list_artifacts(parent.info.run_id)} == {"packages.txt"}


def test_a_loss_curve_has_each_step_once(toy: Path, session: Any, history: Any) -> None:
    session("sample.a")
    run = history()["sample.a"]
    points = MlflowClient(f"sqlite:///{toy / 'mlflow.db'}").get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]


def test_several_processes_leave_the_same_record(toy: Path, session: Any, history: Any) -> None:
    catalog = toy / "conf/base/catalog.yml"  # in which processes share files only
    shared = 'fields: {type: pandas.CSVDataset, filepath: "data/fields.csv"}'
    catalog.write_text(
        catalog.read_text().replace("fields: {type: MemoryDataset, metadata: {mlflow: data}}", shared)
    )
    session("sample.a", runner=ParallelRunner(max_workers=2))
    run = history()["sample.a"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics == METRICS


def test_failed_is_failed(session: Any, history: Any) -> None:
    with pytest.raises(RuntimeError, match="a fault"):
        session(parameters={"sample": {"a": {"fit": {"end": "broken"}}}})
    runs = history()
    assert runs["kedro run"].info.status == runs["sample.a"].info.status == "FAILED"
    assert runs["sample.a"].data.tags["error"] == "RuntimeError: a fault"
    assert runs["sample.a"].data.metrics["loss"] == 1 / 4
    assert {run.info.status for run in runs.values()} <= {"FAILED", "KILLED"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_is_killed(toy: Path, kedro: Any, history: Any, number: int) -> None:
    process = kedro("run", "--pipelines", "sample.a", "--params", "sample.a.fit.end=endless")
    _wait((toy / "waiting").exists, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    runs = history()
    assert process.returncode == 128 + number
    assert runs["sample.a"].info.status == "KILLED" and runs["sample.a"].data.metrics["loss"] == 1 / 4
    assert [run.info.status for name, run in runs.items() if name != "sample.a"] == ["KILLED"]
    assert "Traceback" not in errors
    assert ("the same command goes on" in errors) == (number == signal.SIGINT)


def test_the_next_run_marks_what_died_without_a_word(toy: Path, session: Any, history: Any) -> None:
    client = MlflowClient(f"sqlite:///{toy / 'mlflow.db'}")
    folder = client.create_experiment("fieldcast")
    dead = subprocess.Popen(["true"])
    dead.wait()
    here = socket.gethostname()
    processes = {"dead": f"{here}:{dead.pid}", "living": f"{here}:1", "elsewhere": f"far:{dead.pid}"}
    for name, process in processes.items():
        client.create_run(folder, run_name=name, tags={"process": process})
    session("ingestion")
    status = {name: run.info.status for name, run in history().items()}
    assert status.pop("kedro run --pipelines ingestion") == "FINISHED"
    assert status == {"dead": "KILLED", "living": "RUNNING", "elsewhere": "RUNNING"}


def test_a_server_that_is_down_costs_one_warning(
    session: Any, history: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    begin = time.perf_counter()
    with caplog.at_level(logging.WARNING, "fieldcast"):
        session()
    assert time.perf_counter() - begin < 20
    (warning,) = [one.getMessage() for one in caplog.records if one.name.startswith("fieldcast")]
    assert (
        warning.startswith(f"tracking at {address} failed, the run goes on without it: ")
        and "\n" not in warning
    )


def test_a_server_that_hangs_costs_one_warning(
    deaf: str, session: Any, history: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", deaf)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    begin = time.perf_counter()
    with caplog.at_level(logging.WARNING, "fieldcast"):
        session("ingestion")
    assert time.perf_counter() - begin < 20
    assert len([one for one in caplog.records if one.name.startswith("fieldcast")]) == 1


def test_tracking_is_off_where_the_configuration_says_so(toy: Path, session: Any) -> None:
    session("ingestion")
    assert not (toy / "mlflow.db").exists()


@pytest.fixture
def deaf() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _wait(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("the process did not come so far")
