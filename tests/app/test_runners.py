"""Under every runner of Kedro a run leaves the same record, ends within seconds of a signal, and leaves no worker."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from kedro.io import MemoryDataset
from kedro.io.data_catalog import SharedMemoryDataCatalog
from kedro.pipeline import Pipeline, node
from kedro.runner import ParallelRunner, SequentialRunner, ThreadRunner
from mlflow import MlflowClient

from fieldcast.app.dask import DaskOptions, DaskRunner, connect
from fieldcast.errors import InputError

pytestmark = pytest.mark.proof

RUNNERS = {"sequential": (SequentialRunner, ""), "threads": (ThreadRunner, "")}
RUNNERS |= {"forks": (ParallelRunner, "fork"), "spawned": (ParallelRunner, "spawn"), "dask": (DaskRunner, "")}
COMMANDS = {
    "sequential": [],
    "threads": ["--runner", "ThreadRunner", "--runner-params", "max_workers=2"],
    "forks": ["--runner", "ParallelRunner", "--runner-params", "max_workers=2"],
    "spawned": ["--runner", "ParallelRunner", "--runner-params", "max_workers=2"],
    "dask": ["--runner", "fieldcast.app.dask.DaskRunner", "--runner-params", "max_workers=2"],
}
NOTHING: dict[str, Any] = {"points": {}}
Records = Callable[[], dict[str, dict[str, Any]]]


@pytest.fixture
def tracked(toy: Path, empty: Path) -> Records:
    """Switch tracking on in the small project; returns what a run has recorded, by name of its runs."""
    (toy / "conf/base/tracking.yml").write_text("tracking: true\n")
    shutil.copy(empty, toy / "mlflow.db")

    def records() -> dict[str, dict[str, Any]]:
        client = MlflowClient(f"sqlite:///{toy / 'mlflow.db'}")
        if (folder := client.get_experiment_by_name("fieldcast")) is None:
            return {}  # the run has not come so far
        runs = client.search_runs([folder.experiment_id])
        return {each.info.run_name: record(client, each) for each in runs}

    def record(client: MlflowClient, each: Any) -> dict[str, Any]:
        return {
            "status": each.info.status,
            "parameters": each.data.params,
            "points": {
                key: [(point.step, point.value) for point in client.get_metric_history(each.info.run_id, key)]
                for key in sorted(each.data.metrics)
                if not key.startswith("system")
            },
            "files": sorted(file.path for file in client.list_artifacts(each.info.run_id)),
            "data": [(entry.dataset.name, entry.dataset.digest) for entry in each.inputs.dataset_inputs],
        }

    return records


@pytest.mark.parametrize("name", RUNNERS)
def test_every_runner_leaves_the_same_record(
    session: Any, tracked: Records, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    runner, context = RUNNERS[name]
    monkeypatch.setenv("KEDRO_MP_CONTEXT", context)
    session(runner=runner() if runner is SequentialRunner else runner(max_workers=2))
    recorded = tracked()
    assert set(recorded) == {"demo", "a (sample)", "b (sample)"}
    assert {each["status"] for each in recorded.values()} == {"FINISHED"}
    a = recorded["a (sample)"]
    assert a["points"] == {
        "headline": [(0, 0.5)],
        "kid/random/k_per_mille": [(100, 0.5)],
        "loss": [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)],
        "ssr/blocks/k_per_mille": [(5, 0.9)],
        "training/seconds": [(step, 1.0) for step in (1, 2, 3, 4)],
    }
    assert a["files"] == ["loss.png", "state.json"] and a["parameters"]["fit.steps"] == "4"
    assert {tuple(each["data"]) for each in recorded.values()} == {(("fields", "0123456789ab"),)}


@pytest.fixture
def running(
    toy: Path, kedro: Any, tracked: Records, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], tuple[subprocess.Popen[str], list[psutil.Process]]]]:
    """Start a run under a runner; returns it and its workers once a training waits in one of them."""
    started: list[psutil.Process] = []

    def start(name: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
        monkeypatch.setenv("KEDRO_MP_CONTEXT", RUNNERS[name][1])
        process = kedro("run", *COMMANDS[name], "--params", "sample.a.fit.end=endless")
        stopped = "a (sample) · fit.end=endless"
        wait_for(
            lambda: (toy / "waiting").exists() and "loss" in tracked().get(stopped, NOTHING)["points"],
            process,
        )
        family = psutil.Process(process.pid).children(recursive=True)
        started.extend([psutil.Process(process.pid), *family])
        return process, family

    yield start
    for each in started:
        if each.is_running():
            each.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", RUNNERS)
def test_a_signal_ends_a_run_and_its_workers(
    running: Any, tracked: Records, name: str, number: signal.Signals
) -> None:
    process, family = running(name)
    begin = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=max(0.1, begin + 10 - time.monotonic()))
    assert not alive and process.returncode == 128 + number
    assert time.monotonic() - begin < 10  # 5 s on an idle machine
    assert errors.count("run the same command again") == 1 and "resource_tracker" not in errors, errors
    recorded = tracked()
    stopped = recorded["a (sample) · fit.end=endless"]
    assert stopped["status"] == "KILLED"
    assert stopped["points"]["loss"] == [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]
    assert recorded["demo · sample.a.fit.end=endless"]["status"] == "KILLED"


@pytest.mark.parametrize("name", RUNNERS)
def test_no_worker_outlives_a_run_that_is_killed(running: Any, name: str) -> None:
    process, family = running(name)
    process.kill()
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def test_a_worker_that_is_killed_is_one_sentence(running: Any) -> None:
    process, family = running("forks")
    for each in family:
        each.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith("fieldcast: a process that ran nodes was killed"), errors


def test_workers_share_the_cores(toy: Path, kedro: Any) -> None:
    """Each has as many threads as there are cores for it."""
    source = toy / "src/toy/nodes.py"
    counting = (
        "import torch\n    Path(f'threads{os.getpid()}').write_text(str(torch.get_num_threads()))\n    "
    )
    source.write_text(
        source.read_text().replace("def score(checkpoint):\n    ", f"def score(checkpoint):\n    {counting}")
    )
    process = kedro("run", *COMMANDS["forks"])
    process.communicate(timeout=120)
    expected = os.environ.get("OMP_NUM_THREADS", "1")
    assert {file.read_text() for file in toy.glob("threads*")} == {expected}


def die_once(marker: str) -> int:
    """Kill this process unless the marker is there, which is left first."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def refuse(number: int) -> None:
    """Refuse a number."""
    raise InputError(f"{number} is refused: choose another.")


def on_dask(*nodes: Any, **data: Any) -> dict[str, Any]:
    """Run nodes on a cluster of two workers; returns what they make, by name."""
    catalog = SharedMemoryDataCatalog({name: MemoryDataset(value) for name, value in data.items()})
    runner = DaskRunner(max_workers=2)  # whose manager holds what the nodes make
    outputs = runner.run(Pipeline(nodes), catalog)
    return {name: dataset.load() for name, dataset in outputs.items()}


def test_a_node_whose_dask_worker_dies_runs_again_and_an_error_is_that_of_the_node(tmp_path: Path) -> None:
    data = {"marker": str(tmp_path / "marker"), "number": 3, "other": -3}
    results = on_dask(
        node(die_once, "marker", "process", name="die"),
        node(abs, "process", "same", name="abs"),
        node(abs, "other", "beside", name="beside"),
        **data,
    )
    assert results["same"] not in (0, os.getpid()) and results["beside"] == 3
    with pytest.raises(InputError, match="3 is refused: choose another"):
        on_dask(node(refuse, "number", "nothing", name="refuse"), **data)


def test_a_node_that_a_dask_worker_cannot_import_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module of the node is there for this process alone."""
    (tmp_path / "of_this_machine.py").write_text("def double(x):\n    return 2 * x\n")
    with monkeypatch.context() as patched:
        patched.syspath_prepend(str(tmp_path))
        double = importlib.import_module("of_this_machine").double
    (tmp_path / "of_this_machine.py").unlink()
    with pytest.raises(InputError, match=r"a Dask worker cannot import .*'of_this_machine'.*: install"):
        on_dask(node(double, "number", "twice", name="double"), number=3)


def test_a_cluster_that_cannot_be_used_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = DaskOptions(address="tcp://127.0.0.1:1", timeout=0.2)
    with pytest.raises(
        InputError, match=r"the Dask cluster of tcp://127.0.0.1:1 does not answer .*: check dask.yml"
    ):
        connect(nowhere, 1).__enter__()
    monkeypatch.setitem(sys.modules, "distributed", None)  # as where it is not installed
    with pytest.raises(InputError, match=r"pip install 'fieldcast\[dask\]'"):
        connect(DaskOptions(), 1).__enter__()


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Return when a condition holds; fail when the process ends before, or after two minutes."""
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)
