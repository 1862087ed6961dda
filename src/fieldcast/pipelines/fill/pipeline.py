"""A user's file, checkpoints -> filled."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.fill import nodes

PARAMETERS = ["params:seed", "params:limits", "params:device"]


def create_pipeline() -> Pipeline:
    inputs = ["params:fill", "parameters", "checkpoints", *PARAMETERS]
    return Pipeline([node(nodes.fill, inputs, "filled", name="fill")])
