"""Nodes on a Dask cluster: where they run, what a death and an interrupt do, and which cluster is refused."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import dask
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from pydantic import ValidationError

from fieldcast.errors import InputError
from fieldcast.frame import runners
from fieldcast.frame.dask_cluster import CONFIGURATION, DaskOptions, connect
from fieldcast.frame.runners import DaskRunner
from fieldcast.frame.side_by_side import cores

pytestmark = pytest.mark.proof


def run(*nodes: Any, workers: int = 1, **data: Any) -> dict[str, Any]:
    """Run nodes; returns what they make, by name."""
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in data.items()})
    outputs = DaskRunner(max_workers=workers).run(Pipeline(nodes), catalog)
    return {name: dataset.load() for name, dataset in outputs.items()}


def die_once(marker: str) -> int:
    """Kill this process unless the marker is there, which is left first."""
    if not Path(marker).exists():
        Path(marker).touch()
        time.sleep(0.5)  # its events are on their way
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def refuse(number: int) -> None:
    """Refuse a number."""
    raise InputError(f"{number} is refused: choose another.")


def test_a_node_whose_worker_dies_runs_again_and_an_error_is_that_of_the_node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    data = {"marker": str(tmp_path / "marker"), "variable": "OMP_NUM_THREADS", "number": 3}
    results = run(
        node(die_once, "marker", "process", name="die"),
        node(abs, "process", "same", name="abs"),
        node(os.getenv, "variable", "threads", name="threads"),
        **data,
    )
    assert results["same"] not in (0, os.getpid())
    assert results["threads"] == str(cores())
    assert "The worker that ran die was lost: the node runs again." in caplog.text
    with pytest.raises(InputError, match="3 is refused: choose another"):
        run(node(refuse, "number", "nothing", name="refuse"), **data)


def leave_process(file: str) -> None:
    """Write the number of this process, and sleep."""
    Path(file).write_text(str(os.getpid()))
    time.sleep(60)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_node_on_a_cluster_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask.config.set(CONFIGURATION)
    from distributed import LocalCluster

    file = tmp_path / "process"

    def interrupt() -> None:
        while not (file.exists() and file.read_text()):
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    options = {"host": "127.0.0.1", "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(
        n_workers=1, scheduler_kwargs={"dashboard_address": "127.0.0.1:0"}, **options
    ) as cluster:
        address = cluster.scheduler_address
        monkeypatch.setattr(runners, "dask_options", lambda: DaskOptions(address=address))
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            run(node(leave_process, "file", "late", name="sleep"), file=str(file))
        end = time.monotonic() + 20
        while Path(f"/proc/{file.read_text()}").exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert not Path(f"/proc/{file.read_text()}").exists()
        assert run(node(abs, "number", "same", name="abs"), number=-3) == {"same": 3}


def test_a_cluster_that_cannot_be_used_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = DaskOptions(address="tcp://127.0.0.1:1", timeout=0.2)
    with pytest.raises(
        InputError, match=r"the Dask cluster of tcp://127.0.0.1:1 does not answer .*: check dask.yml"
    ):
        connect(nowhere, None).__enter__()
    with pytest.raises(
        InputError, match=r"'slurm' needs a package that is not installed: pip install dask-jobqueue"
    ):
        connect(DaskOptions(slurm={"queue": "batch"}, workers=2), None).__enter__()
    monkeypatch.setitem(sys.modules, "distributed", None)  # as where it is not installed
    with pytest.raises(InputError, match=r"pip install 'fieldcast\[dask\]'"):
        connect(DaskOptions(), None).__enter__()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"adress": "tls://host:8786"}, "adress"),
        ({"address": "tls://host:8786", "slurm": {}, "workers": 2}, "name two clusters"),
        ({"slurm": {"queue": "batch"}}, "'slurm' needs 'workers'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises((ValidationError, TypeError), match=reason):
        DaskOptions(**options)
