"""A user's file, checkpoints -> predicted."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.predict import nodes

PARAMETERS = ["params:seed", "params:limits", "params:device"]


def create_pipeline() -> Pipeline:
    inputs = ["params:predict", "parameters", "checkpoints", *PARAMETERS]
    return Pipeline([node(nodes.predict, inputs, "predicted", name="predict")])
