"""Nodes side by side in processes: the order, the record, errors and interrupts as in one process."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from fieldcast.errors import InputError
from fieldcast.frame import console, side_by_side
from fieldcast.frame.durations import longest_paths
from fieldcast.frame.side_by_side import NodeOrder, SideBySide, Workers

pytestmark = pytest.mark.proof

# --- the order


def simulated(pipeline: Pipeline, seconds: Mapping[str, float], at_once: int) -> dict[str, float]:
    """Simulate a run in which nodes take these seconds; returns when each one ends."""
    schedule, clock = NodeOrder(pipeline, seconds), 0.0
    ends: dict[str, float] = {}
    running: dict[Any, float] = {}
    while begun := schedule.begin(at_once - len(running)) or running:
        running |= {each: clock + seconds[each.name] for each in begun if each not in running}
        ended = min(running, key=running.__getitem__)
        clock = running.pop(ended)
        ends[ended.name] = clock
        schedule.end(ended)
    return ends


def step(name: str, reads: str | None, tag: str) -> Any:
    """A node of an experiment of its own, which makes the data set of its name."""
    return node(abs, reads or "start", name, name=name, tags=tag)


LONG = [step("fit", None, "learned"), step("correct", "fit", "learned"), step("roll", "correct", "learned")]
SHORT = [step(f"cheap{number}", None, "classical") for number in range(8)]


def test_the_longest_path_starts_first() -> None:
    graph = Pipeline([*LONG, *SHORT])
    seconds = {each.name: 4.0 if each in LONG else 1.0 for each in graph.nodes}
    ends = simulated(graph, seconds, at_once=2)
    assert max(ends.values()) == 12.0  # the bound: 3 x 4 s; cheap first, one after another, would take 16 s
    assert ends["roll"] == 12.0 and ends["cheap0"] == 1.0


def test_without_durations_the_longest_path_has_most_nodes() -> None:
    graph = Pipeline([*LONG, *SHORT])
    assert [each.name for each in NodeOrder(graph, {}).begin(2)] == ["fit", "cheap0"]
    paths = {each.name: path for each, path in longest_paths(graph, {}).items()}
    assert paths["fit"] == 3 and paths["cheap0"] == 1


# --- processes


def run(*nodes: Any, workers: int = 2, **data: Any) -> dict[str, Any]:
    """Run nodes; returns what they make, by name."""
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in data.items()})
    created = SideBySide(max_workers=workers).run(Pipeline(nodes), catalog)
    return {name: dataset.load() for name, dataset in created.items()}


def test_nodes_run_in_other_processes_with_their_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(side_by_side, "cores", lambda: 6)
    created = run(
        node(os.getpid, None, "process", name="a"),
        node(os.getenv, "name", "environment", name="b"),
        node(torch.get_num_threads, None, "threads", name="c"),
        node(abs, "process", "same", name="d"),
        name="OMP_NUM_THREADS",
    )
    assert (
        created["environment"] == "3" and created["threads"] == 3 and created["same"] not in (0, os.getpid())
    )
    assert "OMP_NUM_THREADS" not in os.environ and not multiprocessing.active_children()


def test_a_process_that_is_killed_ends_the_run_with_a_sentence() -> None:
    with pytest.raises(InputError, match=r"ran die was killed \(exit code 3\).* run the same command again"):
        run(
            node(os._exit, "code", "nothing", name="die"),
            node(time.sleep, "long", "late", name="sleep"),
            code=3,
            long=60,
        )
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_no_process_behind() -> None:
    begin = time.monotonic()
    threading.Timer(
        1.0, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    ).start()
    with pytest.raises(KeyboardInterrupt):
        run(node(time.sleep, "long", "a", name="one"), node(time.sleep, "long", "b", name="two"), long=60)
    assert time.monotonic() - begin < 20 and not multiprocessing.active_children()


LONELY = """
import time
from kedro.pipeline import node
from fieldcast.frame import worker

def main():
    worker.CONTEXT.set_forkserver_preload([])
    setting = worker.Setting(DataCatalog({"long": MemoryDataset(60)}), [], None, {"version": 1}, {}, 1, 30.0)
    one = worker.Worker(pickle.dumps(setting))
    print(one._process.pid, flush=True)
    one.run(node(time.sleep, "long", "late"), {}, [], print)
"""


def test_a_process_ends_within_its_node_when_the_run_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    imports = "import pickle\nfrom kedro.io import DataCatalog, MemoryDataset"
    script.write_text(f"{imports}{LONELY}\nif __name__ == '__main__':\n    main()\n")
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    worker = psutil.Process(int(parent.stdout.readline()))
    family = [worker, *psutil.Process(parent.pid).children(recursive=True)]
    until(lambda: worker.num_threads() > 1)  # it watches its parent
    parent.kill()
    parent.communicate()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds; fail after half a minute."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_cannot_be_sent_is_named() -> None:
    with pytest.raises(InputError, match=r"^closed cannot be sent to another process .*leave out --runner"):
        run(node(lambda: 1, None, "a", name="closed"), node(os.getpid, None, "b", name="open"))


LOOP = """
import multiprocessing
import time
from fieldcast.runtime import Progress

def loop():
    with Progress(total=100, unit="step") as bar:
        bar.update(49)
        time.sleep(1.0)
    return multiprocessing.get_start_method()
"""


def test_progress_of_other_processes_is_logged_and_leaves_no_semaphore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "loops.py").write_text(LOOP)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(console, "INTERVAL", 0.1)
    import loops  # type: ignore[import-not-found]

    hook = console.Console()
    hooks = _create_hook_manager()
    hooks.register(hook)
    graph = Pipeline([node(loops.loop, None, "a", name="loop"), node(os.getpid, None, "b", name="other")])
    with caplog.at_level(logging.INFO, "fieldcast"):
        hook.before_pipeline_run(graph, DataCatalog())
        created = SideBySide(max_workers=2).run(graph, DataCatalog(), hooks)
        hook.after_pipeline_run(graph)
    assert created["a"].load() == "fork"  # a kill leaves no semaphore of its libraries behind
    assert any("loop: " in line and "49 of 100 steps" in line for line in caplog.messages)
    assert not any("other: " in line for line in caplog.messages)
    assert sorted(line.split()[0] for line in caplog.messages if "/2 " in line) == ["1/2", "2/2"]


class Witness:
    """A hook of a plug-in that notes what a node has read and made."""

    def __init__(self) -> None:
        self.read: dict[str, Any] = {}
        self.written: dict[str, Any] = {}

    @hook_impl
    def after_node_run(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Note inputs and outputs."""
        self.read |= inputs
        self.written |= outputs


def test_hooks_of_plugins_receive_parameters_and_tables_of_nodes_in_other_processes() -> None:
    witness, hooks = Witness(), _create_hook_manager()
    hooks.register(witness)
    graph = Pipeline(
        [
            node(pd.DataFrame, "params:columns", "table", name="tabulate"),
            node(len, "table", "length", name="measure"),
            node(os.getpid, None, "process", name="other"),
        ]
    )
    catalog = DataCatalog({"params:columns": MemoryDataset({"x": [1, 2, 3]})})
    SideBySide(max_workers=2).run(graph, catalog, hooks)
    assert witness.read["params:columns"] == {"x": [1, 2, 3]}
    for table in (witness.read["table"], witness.written["table"]):
        pd.testing.assert_frame_equal(table, pd.DataFrame({"x": [1, 2, 3]}))
    assert set(witness.written) == {"table", "length", "process"}


class Echo:
    """A process that returns its outputs at once."""

    def run(self, node: Any, inputs: Any, outputs: list[str], listen: Any) -> dict[str, Any]:
        """Make nothing."""
        return {}

    def stop(self) -> None:
        """Stop nothing."""


class TakenByAnother(list[Any]):
    """Idle processes of which another thread has taken the last after it was seen."""

    def __bool__(self) -> bool:
        return True


def test_a_process_is_started_when_another_thread_takes_the_last_idle_one() -> None:
    started: list[bytes] = []

    def start(setting: bytes) -> Any:
        started.append(setting)
        return Echo()

    with Workers(Pipeline([]), DataCatalog(), _create_hook_manager(), None, 1, start) as workers:
        workers._idle = TakenByAnother()
        for _ in range(2):
            workers.run(node(len, "x", None, name="measure"))
    assert len(started) == 1


def test_a_refusal_is_reported_in_one_sentence(session: Any) -> None:
    with pytest.raises(InputError, match=r"^the toy is refused: give it a name\.$"):
        session(parameters={"sample": {"a": {"fit": {"end": "refused"}}}}, runner=SideBySide(max_workers=2))
