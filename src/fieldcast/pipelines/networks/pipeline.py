"""fields -> daily observations."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.networks import nodes

PARAMETERS = {name: f"params:{name}" for name in ("sparsification", "assimilation", "limits")}


def create_pipeline() -> Pipeline:
    return Pipeline([node(nodes.observe, PREPARED | PARAMETERS, "daily_observations", name="observe_daily")])
