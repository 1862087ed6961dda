"""A user's file, checkpoints -> filled."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.fill.nodes")


def create_pipeline() -> Pipeline:
    """The nodes of the stage `fill`."""
    parameters = ("fill", "seed", "limits", "device")
    return Pipeline([as_node(Step(nodes.fill, ("parameters", "checkpoints"), parameters, ("filled",)))])
