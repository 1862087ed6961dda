"""A user's file, checkpoints -> predicted."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.predict.nodes")


def create_pipeline() -> Pipeline:
    """The nodes of the stage `predict`."""
    parameters = ("predict", "seed", "limits", "device")
    return Pipeline([as_node(Step(nodes.predict, ("parameters", "checkpoints"), parameters, ("predicted",)))])
