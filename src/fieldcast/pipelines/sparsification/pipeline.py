"""fields -> observations."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.sparsification.nodes")

OBSERVE = Step(nodes.observe, tuple(PREPARED), ("sparsification", "limits"), ("observations",))


def create_pipeline() -> Pipeline:
    """The nodes of the stage `sparsification`."""
    return Pipeline([as_node(OBSERVE)])
