"""Data in memory pass from node to node without a copy, and between processes."""

import os
from collections.abc import Callable

import pandas as pd
import pytest
from kedro.io import SharedMemoryDataCatalog
from kedro.io.core import DatasetError
from kedro.pipeline import Pipeline, node
from kedro.runner import ParallelRunner
from kedro.runner.parallel_runner import ParallelRunnerManager

from fieldcast.datasets import InMemoryDataset


class Reader:
    """Becomes the id of the process that reads it."""

    def __reduce__(self) -> tuple[Callable[[], int], tuple[()]]:
        return os.getpid, ()


def read_here(process: int) -> bool:
    return process == os.getpid()


def test_memory_is_handed_on_without_a_copy_and_between_processes() -> None:
    table, handed = pd.DataFrame({"value": [1]}), InMemoryDataset(metadata={"kedro-viz": {"layer": "models"}})
    handed.save({"scores": table})
    assert handed.load()["scores"] is table and handed.metadata and handed._EPHEMERAL
    handed.release()
    assert not handed.exists()
    with pytest.raises(DatasetError, match="has not been saved yet"):
        handed.load()
    runner = ParallelRunner(max_workers=1)
    catalog = SharedMemoryDataCatalog({"a": InMemoryDataset(), "b": InMemoryDataset()})
    created = Pipeline([node(os.getpid, None, "a", name="one"), node(abs, "a", "b", name="two")])
    assert runner.run(created, catalog)["b"].load() not in (0, os.getpid())


def test_only_the_nodes_read_what_is_handed_on() -> None:
    """The manager's threads would import the classes of the data at the same time, and fail."""
    catalog = SharedMemoryDataCatalog({"a": InMemoryDataset(), "b": InMemoryDataset()})
    created = Pipeline([node(Reader, None, "a", name="one"), node(read_here, "a", "b", name="two")])
    runner = ParallelRunner(max_workers=1)
    assert runner.run(created, catalog)["b"].load()


def test_what_cannot_be_sent_to_another_process_is_refused() -> None:
    manager = ParallelRunnerManager()
    manager.start()
    sent = InMemoryDataset()
    sent.set_manager(manager)
    with pytest.raises(DatasetError, match="function cannot be sent to another process"):
        sent.save(lambda: None)
    manager.shutdown()
