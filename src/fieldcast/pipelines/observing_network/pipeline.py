"""fields -> observations of a cycle."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.observing_network import nodes

PARAMETERS = {name: f"params:{name}" for name in ("sparsification", "assimilation", "limits")}


def create_pipeline() -> Pipeline:
    return Pipeline([node(nodes.observe, PREPARED | PARAMETERS, "cycle_observations", name="observe")])
