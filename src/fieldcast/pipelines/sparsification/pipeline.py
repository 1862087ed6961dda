"""fields -> observations."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.sparsification import nodes


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `sparsification`."""
    inputs = [*PREPARED, "params:sparsification", "params:limits"]
    return Pipeline([node(nodes.observe, inputs, "observations", name="observe")])
