"""fields -> observations of a cycle."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.observing_network import nodes


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `observing_network`."""
    inputs = [*PREPARED, "params:sparsification", "params:assimilation", "params:limits"]
    return Pipeline([node(nodes.observe, inputs, "cycle_observations", name="observe")])
