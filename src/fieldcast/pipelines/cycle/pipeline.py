"""A user's record, checkpoints -> cycled, and its scores as text."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.cycle.nodes")

CYCLE = Step(
    nodes.cycle,
    data=("parameters", "checkpoints"),
    parameters=("cycle", "seed", "limits", "device"),
    outputs=("cycled", "summary_cycle"),
)


def create_pipeline() -> Pipeline:
    return Pipeline([as_node(CYCLE)])
