"""A user's record, checkpoints -> cycled, and its scores as text."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.cycle import nodes

PARAMETERS = ["params:seed", "params:limits", "params:device"]


def create_pipeline() -> Pipeline:
    inputs = ["params:cycle", "parameters", "checkpoints", *PARAMETERS]
    return Pipeline([node(nodes.cycle, inputs, ["cycled", "summary_cycle"], name="cycle")])
