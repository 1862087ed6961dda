"""fields -> observations of a cycle."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.observing_network.nodes")

OBSERVE = Step(
    nodes.observe, tuple(PREPARED), ("sparsification", "assimilation", "limits"), ("cycle_observations",)
)


def create_pipeline() -> Pipeline:
    """The nodes of the stage `observing_network`."""
    return Pipeline([as_node(OBSERVE)])
