"""MLflow shows what a run did, however it ended."""

import contextlib
import json
import logging
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from urllib.parse import parse_qs

import pytest
from kedro.pipeline import Pipeline, node
from kedro.runner import ParallelRunner
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.system_metrics.metrics import gpu_monitor
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from fieldcast.app.tracking.models import LoggedModels
from fieldcast.app.tracking.record import Record
from fieldcast.app.tracking.stored import PARENT, Stored, parameters_read
from fieldcast.errors import InputError

pytestmark = pytest.mark.proof

# metrics of sample.a: its last losses, its scores over all variables at unobserved cells, and their headline
K = "k_per_mille"
METRICS = {
    "loss": 1 / 4, "training/seconds": 1.0, f"kid/random/{K}": 0.5, f"ssr/blocks/{K}": 0.9, "headline": 0.5,
}  # fmt: skip


@pytest.fixture
def history(toy: Path, empty: Path) -> Callable[[], dict[str, Run]]:
    """Switch tracking on in the small project; the runs recorded, by name."""
    (toy / "conf/base/tracking.yml").write_text("tracking: true\n")
    (toy / "conf/base/parameters.yml").write_text("seed: 7\ningestion: {source: toy}\n")
    shutil.copy(empty, toy / "mlflow.db")

    def runs() -> dict[str, Run]:
        client = MlflowClient(f"sqlite:///{toy / 'mlflow.db'}")
        if (folder := client.get_experiment_by_name("fieldcast")) is None:
            return {}  # the run has not come so far
        return {run.info.run_name: run for run in client.search_runs([folder.experiment_id])}

    return runs


def test_a_run_is_a_parent_with_a_child_for_each_experiment(toy: Path, session: Any, history: Any) -> None:
    session()
    runs = history()
    assert set(runs) == {"demo · toy", "a (sample)", "b (sample)"}
    parent, a, b = runs["demo · toy"], runs["a (sample)"], runs["b (sample)"]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert {run.data.tags.get("mlflow.parentRunId") for run in (a, b)} == {parent.info.run_id}
    # the same names of metrics, of the rows over all variables and the unobserved cells
    assert a.data.metrics == METRICS
    assert b.data.metrics.keys() == a.data.metrics.keys()
    # what nodes read: values of the file, and the defaults of what it does not give
    assert a.data.params == {"fit.end": "well", "fit.rate.start": "0.001", "fit.steps": "4"}
    assert b.data.params["fit.steps"] == "3"
    assert parent.data.params == {}
    assert parent.data.metrics["headline/sample"] == 0.5
    assert (
        f"[sample.a](#/experiments/1/runs/{a.info.run_id}) | 0.5" in parent.data.tags["mlflow.note.content"]
    )
    # every run has its data, user, source and the time of its own nodes
    inputs = {(i.dataset.name, i.dataset.digest) for run in runs.values() for i in run.inputs.dataset_inputs}
    assert inputs == {("fields", "0123456789ab")} and all(run.inputs.dataset_inputs for run in runs.values())
    assert {run.data.tags["mlflow.source.name"] for run in runs.values()} == {
        parent.data.tags["mlflow.source.name"]
    }
    assert {run.info.user_id for run in runs.values()} == {parent.info.user_id} != {""}
    assert parent.data.tags["version.kedro"].startswith("1.")
    client = MlflowClient(f"sqlite:///{toy / 'mlflow.db'}")
    assert {file.path for file in client.list_artifacts(a.info.run_id)} == {"state.json", "loss.png"}
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == {"packages.txt"}
    steps = {
        name: client.get_metric_history(a.info.run_id, f"{name}/{K}")[0].step
        for name in ("kid/random", "ssr/blocks")
    }
    assert steps == {"kid/random": 100, "ssr/blocks": 5}


def test_a_run_says_what_it_reads_the_data_for(toy: Path, session: Any, history: Any) -> None:
    session("sample.a")
    session("sample.a", node_names=["sample.a.evaluation.score"])
    session("ingestion")
    client = MlflowClient(f"sqlite:///{toy / 'mlflow.db'}")
    folder = client.get_experiment_by_name("fieldcast").experiment_id
    listed = client.search_runs([folder], order_by=["attributes.start_time ASC"])
    marks = [(run.info.run_name, run.data.tags.get("trained"), contexts(run)) for run in listed]
    assert marks == [
        ("sample.a · toy", None, ["training"]),
        ("a (sample)", "false", ["training"]),
        ("sample.a, only sample.a.evaluation.score · toy", None, []),
        ("a (sample)", "false", []),
        ("ingestion · toy", None, ["preparation"]),
    ]


def contexts(run: Run) -> list[str]:
    """The contexts of the data of a run."""
    return [tag.value for given in run.inputs.dataset_inputs for tag in given.tags]


def test_parameters_of_pipelines_that_did_not_run_are_not_recorded(session: Any, history: Any) -> None:
    session("ingestion", parameters={"sample": {"a": {"fit": {"steps": 2}}}})
    assert [run.data.params for run in history().values()] == [{}]


def test_what_only_the_report_reads_is_not_recorded() -> None:
    """The report reads options of tasks that did not run."""
    drawn = node(lambda seed: seed, "params:seed", "a", name="draw")
    reported = node(lambda a, *options: a, ["a", "params:assimilation", "params:seed"], "b", name="rank")
    pipeline = Pipeline([drawn, Pipeline([reported], tags="reporting")])
    assert parameters_read(pipeline) == {PARENT: {"seed"}}


def test_runs_have_the_times_of_their_files_however_late_they_are_written(
    toy: Path, session: Any, history: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, written = Record._create, dict[str, float]()

    def late(*arguments: Any) -> None:
        time.sleep(0.5)
        written[arguments[1]] = 1000 * time.time()
        create(*arguments)

    monkeypatch.setattr(Record, "_create", late)
    session()
    child, folder = history()["a (sample)"], toy / "data/sample/a"
    times = sorted(file.stat().st_mtime_ns // 10**6 for file in folder.iterdir())
    assert times[0] <= child.info.start_time <= child.info.end_time <= times[-1]
    assert child.info.start_time < written["sample.a"] - 450


def test_the_lines_of_mlflow_itself_are_not_printed(session: Any, history: Any, capfd: Any) -> None:
    logging.getLogger("mlflow").setLevel(logging.INFO)  # as its import leaves it
    session("ingestion")
    assert "monitoring" not in capfd.readouterr().err


def test_a_loss_curve_has_each_step_once(toy: Path, session: Any, history: Any) -> None:
    session("sample.a")
    run = history()["a (sample)"]
    points = MlflowClient(f"sqlite:///{toy / 'mlflow.db'}").get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]


def test_several_processes_leave_the_same_record(
    session: Any, history: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    slowly, fork = Record._create, ParallelRunner._get_executor

    def create(*arguments: Any) -> None:
        time.sleep(0.5)
        slowly(*arguments)
        events.append("begun")

    monkeypatch.setattr(Record, "_create", create)
    monkeypatch.setattr(ParallelRunner, "_get_executor", lambda *a: events.append("forked") or fork(*a))
    session("sample.a", runner=ParallelRunner(max_workers=2))
    # a process that is forked while a thread imports MLflow would wait for that import for ever
    assert events.index("begun") < events.index("forked")
    run = history()["a (sample)"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics == METRICS


def test_failed_is_failed(session: Any, history: Any) -> None:
    with pytest.raises(RuntimeError, match="a fault"):
        session(parameters={"sample": {"a": {"fit": {"end": "broken"}}}})
    runs = history()
    parent = runs.pop("demo · toy · sample.a.fit.end=broken")
    assert parent.info.status == "FAILED" and parent.data.tags["error"] == "RuntimeError: a fault"
    failed = runs["a (sample) · fit.end=broken"]
    assert failed.info.status == "FAILED" and failed.data.metrics["loss"] == 1 / 4
    assert {run.info.status for run in runs.values()} == {"FAILED"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_is_killed(toy: Path, kedro: Any, history: Any, number: int) -> None:
    process = kedro("run", "--pipelines", "sample.a", "--params", "sample.a.fit.end=endless")
    _wait(lambda: (toy / "waiting").exists() and "a (sample) · fit.end=endless" in history(), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    runs = history()
    assert process.returncode == 128 + number
    stopped = runs.pop("a (sample) · fit.end=endless")
    assert stopped.info.status == "KILLED" and stopped.data.metrics["loss"] == 1 / 4
    assert [run.info.status for run in runs.values()] == ["KILLED"]
    assert "Traceback" not in errors
    assert errors.count("run the same command again") == 1


def test_the_next_run_marks_dead_runs_as_killed(toy: Path, session: Any, history: Any) -> None:
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
    assert status.pop("ingestion · toy") == "FINISHED"
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
    (warning,) = [record.getMessage() for record in caplog.records if record.name.startswith("fieldcast")]
    assert (
        warning.startswith(f"tracking at {address} failed; the run continues without it: ")
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
    assert len([record for record in caplog.records if record.name.startswith("fieldcast")]) == 1


@pytest.mark.parametrize(("delay", "drips"), [(0.3, False), (0.0, True)], ids=["slow", "byte by byte"])
def test_contents_that_a_slow_server_missed_are_named_and_its_runs_are_ended(
    session: Any, history: Any, server: "Server", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    delay: float, drips: bool,
) -> None:  # fmt: skip
    """A server that drips takes minutes for each answer to an upload; a slow one delays all answers."""
    server.delay, server.drips = delay, drips
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setattr("fieldcast.app.tracking.hook.FLUSH_TIMEOUT", 4.0)
    begin = time.perf_counter()
    with caplog.at_level(logging.WARNING, "fieldcast"):
        session("sample.a")
    assert time.perf_counter() - begin < 15
    (warning,) = [record.getMessage() for record in caplog.records if record.name.startswith("fieldcast")]
    until = (
        re.escape(f"tracking at {server.address} had not finished after ")
        + "([34]) seconds and has not recorded "
    )
    assert re.match(until, warning), warning
    missing = {f"{name} of sample.a" for name in ("state.json", "loss.png")} - {
        f"{name} of sample.a" for name in server.files
    }
    assert missing and all(name in warning for name in missing), (warning, server.files)
    assert "its runs have been ended" in warning or drips
    assert server.runs and set(server.runs.values()) == {"FINISHED"}


def test_contents_that_a_dying_server_missed_are_named_once(
    session: Any, history: Any, server: "Server", monkeypatch: Any, caplog: Any
) -> None:
    """The server dies once the runs have begun."""
    server.dies = True
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    with caplog.at_level(logging.WARNING, "fieldcast"):
        session("sample.a")
    (warning,) = [record.getMessage() for record in caplog.records if record.name.startswith("fieldcast")]
    assert warning.startswith(f"tracking at {server.address} has not recorded ") and "seconds" not in warning
    for content in (
        "losses of sample.a",
        "scores of sample.a",
        "state.json of sample.a",
        "loss.png of sample.a",
    ):
        assert content in warning, warning
    assert (
        "; 2 of its runs may stay RUNNING until the next run from here ends them; the first error: "
        in warning
    )
    assert set(server.runs.values()) == {"RUNNING"} and "\n" not in warning


def test_a_file_that_is_refused_is_named_and_the_rest_is_recorded(
    session: Any, history: Any, server: "Server", monkeypatch: Any, caplog: Any
) -> None:
    server.refused = "state.json"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    with caplog.at_level(logging.WARNING, "fieldcast"):
        session("sample.a")
    (warning,) = [record.getMessage() for record in caplog.records if record.name.startswith("fieldcast")]
    named = (
        f"tracking at {server.address} has not recorded a/state.json of sample.a; its runs have been ended; "
    )
    assert warning.startswith(named), warning
    assert set(server.files) == {"packages.txt", "loss.png"}
    assert set(server.runs.values()) == {"FINISHED"}


def test_a_quick_server_receives_everything(
    session: Any, history: Any, server: "Server", monkeypatch: Any
) -> None:
    """The stand-in server itself loses nothing."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    session("sample.a")
    assert list(server.runs.values()) == ["FINISHED", "FINISHED"]
    assert set(server.files) == {"packages.txt", "state.json", "loss.png"}


def test_tracking_can_be_switched_off(toy: Path, session: Any) -> None:
    session("ingestion")
    assert not (toy / "mlflow.db").exists()


def test_without_mlflow_a_run_continues_and_warns_where_a_server_is_given(
    toy: Path, empty: Path, session: Any, history: Any, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as where it is not installed
    caplog.set_level(logging.INFO)
    session("sample.a")
    assert not [record.message for record in caplog.records if "mlflow" in record.message.lower()]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")  # a server is expected to have the run
    session("sample.a")
    assert [record.message for record in caplog.records if "mlflow" in record.message] == [
        "MLflow is not installed, so this run is not recorded: pip install 'fieldcast[mlflow]'."
    ]
    assert (toy / "mlflow.db").read_bytes() == empty.read_bytes()


class Server(ThreadingHTTPServer):
    """Stand-in for an MLflow server; remembers the status of each run and the names of the uploaded files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.delay, self.drips = 0.0, False
        self.dies, self.is_dead = False, False  # with the parameters of the second run
        self.refused = ""  # a file that it does not take
        self.runs: dict[str, str] = {}
        self.files: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, *args: Any) -> None:
        """Log nothing, as pytest would show it."""

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        address = self.path.partition("?")[0]
        if self.server.is_dead:
            return
        if address.rpartition("/")[2] == self.server.refused:
            self.send_error(403)
            return
        self.server.is_dead = (
            self.server.dies and len(self.server.runs) == 2 and address.endswith("log-batch")
        )
        time.sleep(self.server.delay)
        body = json.dumps(self._reply(content)).encode()
        answer = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nX-Padding: %s\r\n\r\n" % (b"-" * 999)
        drips = self.server.drips and self.command == "PUT"
        with contextlib.suppress(OSError):  # who asked has gone
            for piece in [bytes([byte]) for byte in answer + body] if drips else [answer + body]:
                self.wfile.write(piece)
                time.sleep(0.05 * drips)

    def _reply(self, content: bytes) -> dict[str, Any]:
        address, _, query = self.path.partition("?")
        place = address.rpartition("mlflow/")[2]
        if place == "experiments/get-by-name":
            return {"experiment": {"experiment_id": "1", "name": "fieldcast"}}
        if place == "runs/create":
            self.server.runs[number := uuid.uuid4().hex] = "RUNNING"  # MLflow remembers addresses by it
            return {"run": {"info": self._run(number)}}
        if place == "runs/get":
            return {"run": {"info": self._run(parse_qs(query)["run_id"][0])}}
        if place == "runs/update":
            update = json.loads(content)
            self.server.runs[update["run_id"]] = update["status"]
            return {"run_info": self._run(update["run_id"])}
        if self.command == "PUT" and not self.server.drips:
            self.server.files.append(address.rpartition("/")[2])
        return {}

    def _run(self, number: str) -> dict[str, Any]:
        place = f"mlflow-artifacts:/1/{number}/artifacts"
        status = self.server.runs[number]
        return {"run_id": number, "experiment_id": "1", "status": status, "artifact_uri": place}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as stand_in:
        thread = threading.Thread(target=stand_in.serve_forever, daemon=True)
        thread.start()
        yield stand_in
        stand_in.shutdown()


@pytest.fixture
def deaf() -> Iterator[str]:
    """Open a server that accepts connections and never answers."""
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
    raise AssertionError("the process did not get that far")


@pytest.fixture
def unopened() -> Record:
    """A record without its thread, of a parent run."""
    plain = Record.__new__(Record)
    plain._client, plain._ids, plain._weights, plain._steps = Mock(), {PARENT: "1"}, {}, {}
    return plain


def test_an_empty_file_and_a_folder_without_files_are_not_stored(tmp_path: Path, unopened: Record) -> None:
    (tmp_path / "figures" / "sample").mkdir(parents=True)
    client = unopened._client
    unopened._log_artifact(PARENT, tmp_path / "figures")
    assert not client.log_artifacts.called
    (tmp_path / "figures" / "sample" / "a.png").touch()
    unopened._log_artifact(PARENT, tmp_path / "figures")
    assert client.log_artifacts.call_count == 1
    file = tmp_path / "forecast.gif"
    for content, stored in ((b"", 0), (b"GIF", 1)):
        file.write_bytes(content)
        unopened._log_artifact(PARENT, file)
        assert client.log_artifact.call_count == stored


def test_only_models_that_work_alone_are_logged(tmp_path: Path, unopened: Record) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"no checkpoint, as a task of a plug-in may store")
    unopened._models = LoggedModels(None, "", {})

    def log(task: str) -> None:
        unopened._log_model(Stored("checkpoint", "model", f"{task}.x", None, str(path), True), path)

    log("assimilate")
    with pytest.raises(InputError, match="checkpoint"):
        log("reconstruct")


GIGABYTE = 10**9


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for NVIDIA's library with two devices: bytes, per cent and milliwatts, as NVML counts them."""
    load = {0: (10 * GIGABYTE, 30, 200_000), 1: (60 * GIGABYTE, 95, 630_000)}
    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(load),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda device: SimpleNamespace(used=load[device][0], total=80 * GIGABYTE),
        nvmlDeviceGetUtilizationRates=lambda device: SimpleNamespace(gpu=load[device][1]),
        nvmlDeviceGetPowerUsage=lambda device: load[device][2],
        nvmlDeviceGetEnforcedPowerLimit=lambda device: 700_000,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(gpu_monitor, "pynvml", nvml, raising=False)


@pytest.fixture
def sampled_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each monitored run last until its load has been sampled, at most 20 seconds: the toy is too fast."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    finish = SystemMetricsMonitor.finish

    def finish_later(monitor: Any) -> None:
        deadline = time.monotonic() + 20
        while not monitor._logging_step and time.monotonic() < deadline:
            time.sleep(0.02)
        finish(monitor)

    monkeypatch.setattr(SystemMetricsMonitor, "finish", finish_later)


@pytest.mark.usefixtures("two_gpus", "sampled_while_it_runs")
def test_a_run_records_the_load_of_each_gpu(session: Any, history: Any) -> None:
    session("sample.a")
    runs = history()
    for run in [runs.pop("sample.a · toy")]:
        recorded = {
            name.removeprefix("system/gpu_"): value
            for name, value in run.data.metrics.items()
            if name.startswith("system/gpu_")
        }
        assert recorded == {
            "0_utilization_percentage": 30.0,
            "0_memory_usage_megabytes": 10_000.0,
            "0_memory_usage_percentage": 12.5,
            "0_power_usage_watts": 200.0,
            "0_power_usage_percentage": 28.6,
            "1_utilization_percentage": 95.0,
            "1_memory_usage_megabytes": 60_000.0,
            "1_memory_usage_percentage": 75.0,
            "1_power_usage_watts": 630.0,
            "1_power_usage_percentage": 90.0,
        }, run.info.run_name
        assert "system/cpu_utilization_percentage" in run.data.metrics
