"""The lines that a run prints: nodes, progress within a node, headlines, results."""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner
from stores import dataset

from fieldcast.app import console
from fieldcast.app.console import Console
from fieldcast.app.processes import STOPPED
from fieldcast.runtime import Progress


def parts() -> Iterator[int]:
    """An output in parts."""
    yield 1


NODES = [
    node(parts, None, "a", name="ingestion.make", namespace="ingestion"),
    node(lambda a: a, "a", "b", name="forecast.lim.training.fit", namespace="forecast.lim.training"),
    node(lambda a: a, "a", "c", name="forecast.vae.training.fit", namespace="forecast.vae.training"),
    node(lambda a: a, "a", "d", name="sample.flow.training.fit", namespace="sample.flow.training"),
]
PIPELINE = Pipeline(NODES)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Console]:
    """A run in its first node, with progress lines at short intervals."""
    monkeypatch.setattr(console, "INTERVAL", 0.02)
    with caplog.at_level(logging.INFO, "fieldcast"):
        begun = Console()
        begun.before_pipeline_run({}, PIPELINE, DataCatalog())
        begun.before_node_run(PIPELINE.nodes[0])
        yield begun
        begun.on_pipeline_error()


def test_a_long_node_reports_its_loop_at_intervals(run: Console, caplog: pytest.LogCaptureFixture) -> None:
    with Progress(total=100, unit="step") as bar:
        bar.update(49)
        wait_for(lambda: "49 of 100 steps, about" in caplog.text)
    run.after_dataset_saved("a", None, PIPELINE.nodes[0])  # a generator continues after its first save
    logged = len(caplog.messages)
    wait_for(lambda: len(caplog.messages) > logged)
    run.on_pipeline_error()
    time.sleep(0.05)
    logged = len(caplog.messages)
    time.sleep(0.1)
    assert len(caplog.messages) == logged


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when a condition holds; fail after ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_node_that_has_saved_its_outputs_is_no_longer_watched(
    run: Console, caplog: pytest.LogCaptureFixture
) -> None:
    """The time from its end to the next node of its process is not its own."""
    run.before_node_run(PIPELINE.nodes[1])
    wait_for(lambda: f"{PIPELINE.nodes[1].name}: 0 s" in caplog.text)
    run.after_dataset_saved(PIPELINE.nodes[1].outputs[0], None, PIPELINE.nodes[1])
    time.sleep(0.05)
    logged = len(caplog.messages)
    time.sleep(0.1)
    assert len(caplog.messages) == logged


def test_a_node_that_saves_nothing_ends_with_the_next_one(
    run: Console, caplog: pytest.LogCaptureFixture
) -> None:
    run.before_node_run(PIPELINE.nodes[1])
    begun = len(caplog.messages)
    wait_for(lambda: f"{PIPELINE.nodes[1].name}: 0 s" in caplog.text)
    assert not [line for line in caplog.messages[begun + 1 :] if f"{PIPELINE.nodes[0].name}:" in line]


def test_a_node_ends_when_another_one_reads(run: Console, caplog: pytest.LogCaptureFixture) -> None:
    run.before_dataset_loaded(PIPELINE.nodes[1])
    logged = len(caplog.messages)
    time.sleep(0.1)
    assert len(caplog.messages) == logged


def test_results_come_before_the_places_to_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = dataset("text", tmp_path / "page.html", metadata={"print": "path"})
    table = dataset("text", tmp_path / "table.txt", metadata={"print": ["text", "path"]})
    table.save("one screen\n")
    catalog = DataCatalog({"a": page, "b": table})
    run = Console()
    run.before_pipeline_run({}, PIPELINE, catalog)
    run.after_pipeline_run(PIPELINE)
    assert (
        capsys.readouterr().out == f"one screen\n\na: {tmp_path / 'page.html'}\nb: {tmp_path / 'table.txt'}\n"
    )


def test_scores_are_logged_as_soon_as_they_are_saved(caplog: pytest.LogCaptureFixture) -> None:
    catalog = DataCatalog({"forecast.lim.metrics": MemoryDataset(metadata={"mlflow": "metrics"})})
    leads = pd.DataFrame({"lead_hours": [24.0, 120.0, 240.0], "score": "crps", "value": [0.25, 0.5, 9.0]})
    run = Console()
    with caplog.at_level(logging.INFO, "fieldcast"):
        run.before_pipeline_run({}, PIPELINE, catalog)
        run.before_node_run(PIPELINE.nodes[1])
        run.after_dataset_saved("forecast.lim.metrics", leads, PIPELINE.nodes[1])
    run.on_pipeline_error()
    assert caplog.messages[-1].strip() == "forecast.lim: 0.375, mean fair CRPS over leads of 1 to 5 days"


def test_a_run_whose_outputs_exist_says_that_nothing_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = DataCatalog({"a": dataset("text", tmp_path / "a")})
    pipeline = Pipeline([node(made, None, "a", name="ingestion.a")])
    hooks = _create_hook_manager()
    run = Console()
    hooks.register(run)

    def lines() -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "fieldcast"):
            run.before_pipeline_run({}, pipeline, catalog)
            SequentialRunner().run(pipeline, catalog, hooks, only_missing_outputs=True)
            run.after_pipeline_run(pipeline)
        return [record.getMessage() for record in caplog.records if record.name == "fieldcast.app.console"]

    assert lines() == ["1/1  ingestion.a"]
    assert lines() == [
        "All outputs exist; nothing to run. Leave out --only-missing-outputs to run every node again."
    ]


def made() -> str:
    """A text."""
    return "made"


COMMAND = """
import sys, time
import click
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from fieldcast.app import processes
from fieldcast.app.console import Console

processes.GRACE = 20.0  # a slow machine may clean up for longer
with click.Context(click.Command("run")):
    Console().before_pipeline_run({}, Pipeline([]), DataCatalog())
    try:
        print("begun", flush=True)  # inside: the signal may come before the next line
        time.sleep(60)
    finally:
        time.sleep(0.2)  # clean-up, which a second signal does not end
        print("cleaned", flush=True)
"""


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_in_one_sentence(number: int) -> None:
    """The second signal does not end what the first has begun to clean up."""
    ours = subprocess.Popen([sys.executable, "-c", COMMAND], stdout=-1, stderr=-1, text=True)
    assert ours.stdout is not None and ours.stdout.readline() == "begun\n"
    ours.send_signal(number)
    time.sleep(0.1)
    ours.send_signal(number)
    out, errors = ours.communicate(timeout=30)
    assert out == "cleaned\n" and errors == STOPPED.decode() and ours.returncode == 128 + number


def test_signals_stay_those_of_the_caller_where_no_command_runs() -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    run = Console()
    run.before_pipeline_run({}, PIPELINE, DataCatalog())
    run.on_pipeline_error()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
