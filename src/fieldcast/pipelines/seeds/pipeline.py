"""Leaderboards of several runs -> seeds of each task, summary."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import node_of
from fieldcast.tasks import TASKS

nodes = Module("fieldcast.pipelines.seeds.nodes")


def create_pipeline() -> Pipeline:
    """The nodes of the stage `seeds`."""
    outputs = {task: f"seeds_{task}" for task in TASKS} | {"summary": "summary_seeds"}
    return Pipeline([node_of(nodes.gather, {"seeds": "params:seeds"}, outputs)])
