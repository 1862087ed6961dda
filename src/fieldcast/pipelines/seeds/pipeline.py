"""Leaderboards of several runs -> seeds of each task, summary."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.seeds import nodes
from fieldcast.tasks import TASKS


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `seeds`."""
    outputs = {task: f"seeds_{task}" for task in TASKS} | {"summary": "summary_seeds"}
    return Pipeline([node(nodes.gather, "params:seeds", outputs, name="gather")])
