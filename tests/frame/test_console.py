"""The lines that a run prints: plan, nodes, progress within a node, headlines, results."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import AbstractRunner, SequentialRunner

from fieldcast.datasets import TableDataset, TextDataset
from fieldcast.frame import console
from fieldcast.frame.cheap_first import CheapFirst
from fieldcast.frame.console import Console
from fieldcast.frame.durations import stored_durations
from fieldcast.frame.side_by_side import SideBySide
from fieldcast.runtime import Progress

NODES = [
    node(lambda: 1, None, "a", name="ingestion.make", namespace="ingestion"),
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
        begun.before_pipeline_run(PIPELINE, DataCatalog())
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


def test_durations_are_appended_to_those_of_earlier_runs(tmp_path: Path) -> None:
    catalog = DataCatalog({"durations": TableDataset(filepath=str(tmp_path / "durations.csv"))})
    for each in PIPELINE.nodes[:2]:
        run = Console()
        run.before_pipeline_run(PIPELINE, catalog)
        run.before_node_run(each)
        time.sleep(0.02)
        run.after_dataset_saved("a", None, each)
        run.after_pipeline_run(PIPELINE)
    table = pd.read_csv(tmp_path / "durations.csv")
    assert set(table["node"]) == {each.name for each in PIPELINE.nodes[:2]}
    assert table["seconds"].between(0.02, 2).all()
    assert stored_durations(catalog) == dict(zip(table["node"], table["seconds"], strict=True))


def test_a_node_that_reported_its_end_is_no_longer_watched(
    run: Console, caplog: pytest.LogCaptureFixture
) -> None:
    """The time from its end to the next node of its thread is not its own."""
    run.after_node_ended()
    logged = len(caplog.messages)
    time.sleep(0.1)
    assert len(caplog.messages) == logged
    assert run._seconds[PIPELINE.nodes[0].name] < 0.1


def test_a_node_that_saves_nothing_ends_with_the_next_one(
    run: Console, caplog: pytest.LogCaptureFixture
) -> None:
    run.before_node_run(PIPELINE.nodes[1])
    begun = len(caplog.messages)
    wait_for(lambda: f"{PIPELINE.nodes[1].name}: 0 s" in caplog.text)
    assert not [line for line in caplog.messages[begun + 1 :] if f"{PIPELINE.nodes[0].name}:" in line]


def test_reading_counts_for_the_node_that_reads(tmp_path: Path) -> None:
    catalog = DataCatalog({"durations": TableDataset(filepath=str(tmp_path / "durations.csv"))})
    first, second = PIPELINE.nodes[:2]
    run = Console()
    run.before_pipeline_run(PIPELINE, catalog)
    run.before_node_run(first)  # which saves nothing
    run.before_dataset_loaded(second)
    time.sleep(0.2)
    run.before_dataset_loaded(second)  # its next input
    run.before_node_run(second)
    run.after_dataset_saved("b", 1, second)
    run.after_pipeline_run(PIPELINE)
    durations = stored_durations(catalog)
    assert durations[first.name] < 0.1 < durations[second.name]


def test_results_come_before_the_places_to_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = TextDataset(filepath=str(tmp_path / "page.html"), metadata={"print": "path"})
    table = TextDataset(filepath=str(tmp_path / "table.txt"), metadata={"print": ["text", "path"]})
    table.save("one screen\n")
    catalog = DataCatalog({"a": page, "b": table})
    run = Console()
    run.before_pipeline_run(PIPELINE, catalog)
    run.after_pipeline_run(PIPELINE)
    assert (
        capsys.readouterr().out == f"one screen\n\na: {tmp_path / 'page.html'}\nb: {tmp_path / 'table.txt'}\n"
    )


def test_scores_are_logged_as_soon_as_they_are_saved(caplog: pytest.LogCaptureFixture) -> None:
    catalog = DataCatalog({"forecast.lim.metrics": MemoryDataset(metadata={"mlflow": "metrics"})})
    leads = pd.DataFrame({"lead_hours": [24.0, 120.0, 240.0], "score": "crps", "value": [0.25, 0.5, 9.0]})
    run = Console()
    with caplog.at_level(logging.INFO, "fieldcast"):
        run.before_pipeline_run(PIPELINE, catalog)
        run.before_node_run(PIPELINE.nodes[1])
        run.after_dataset_saved("forecast.lim.metrics", leads, PIPELINE.nodes[1])
    run.on_pipeline_error()
    assert caplog.messages[-1].strip() == "forecast.lim: 0.375, mean fair CRPS over leads of 1 to 5 days"


@pytest.mark.parametrize("runner", [CheapFirst, SideBySide])
def test_only_missing_outputs_are_counted(
    runner: type[CheapFirst | SideBySide], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {name: TextDataset(filepath=str(tmp_path / name)) for name in "abcd"}
    catalog = DataCatalog(files)
    pipeline = Pipeline([node(made, None, name, name=f"ingestion.{name}") for name in files])
    for present in "abc":
        catalog.save(present, "present")
    hooks = _create_hook_manager()
    run = Console()
    hooks.register(run)
    with caplog.at_level(logging.INFO, "fieldcast"):
        run.before_pipeline_run(pipeline, catalog)
        runner().run(pipeline, catalog, hooks, only_missing_outputs=True)
    run.on_pipeline_error()
    assert [line for line in caplog.messages if "ingestion." in line] == ["1/1  ingestion.d"]


@pytest.mark.parametrize("runner", [CheapFirst, SideBySide, SequentialRunner])
def test_a_run_whose_outputs_exist_says_that_nothing_is_left(
    runner: type[AbstractRunner], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = DataCatalog({"a": TextDataset(filepath=str(tmp_path / "a"))})
    pipeline = Pipeline([node(made, None, "a", name="ingestion.a")])
    hooks = _create_hook_manager()
    run = Console()
    hooks.register(run)

    def lines() -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "fieldcast"):
            run.before_pipeline_run(pipeline, catalog)
            runner().run(pipeline, catalog, hooks, only_missing_outputs=True)
            run.after_pipeline_run(pipeline)
        return [record.getMessage() for record in caplog.records if record.name == "fieldcast.frame.console"]

    assert lines() == ["1/1  ingestion.a"]
    assert lines() == [
        "All outputs exist; nothing to run. Leave out --only-missing-outputs to run every node again."
    ]


def made() -> str:
    """A text."""
    return "made"


def test_a_failed_run_stores_the_durations_of_the_nodes_that_ended(tmp_path: Path) -> None:
    catalog = DataCatalog({"durations": TableDataset(filepath=str(tmp_path / "durations.csv"))})
    first, second = PIPELINE.nodes[:2]
    run = Console()
    run.before_pipeline_run(PIPELINE, catalog)
    run.before_node_run(first)
    run.after_dataset_saved("a", 1, first)
    run.before_node_run(second)
    run.after_dataset_saved("b", 1, second)  # a generator, which fails after its first save
    run.on_pipeline_error()
    assert stored_durations(catalog).keys() == {first.name}
