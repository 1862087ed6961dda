"""A user's file, checkpoints -> predicted."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.predict import nodes


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `predict`."""
    inputs = ["params:predict", "parameters", "checkpoints", "params:seed", "params:limits", "params:device"]
    return Pipeline([node(nodes.predict, inputs, "predicted", name="predict")])
