"""fields -> extractor of the features in which sets of states are compared."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.features.nodes")


def create_pipeline() -> Pipeline:
    """The nodes of the stage `features`."""
    data = ("fields", "normalisation", "splits")
    return Pipeline([as_node(Step(nodes.fit_features, data, ("earlier",), ("extractor",)))])
