"""A user's file, checkpoints -> filled."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.fill import nodes


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `fill`."""
    inputs = ["params:fill", "parameters", "checkpoints", "params:seed", "params:limits", "params:device"]
    return Pipeline([node(nodes.fill, inputs, "filled", name="fill")])
