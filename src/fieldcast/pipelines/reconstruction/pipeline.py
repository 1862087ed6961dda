"""checkpoint, observations -> reconstructions, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.reconstruction import nodes

PARAMETERS = ["params:evaluation", "params:seed", "params:limits", "params:device"]


def create_pipeline() -> Pipeline:
    inputs = ["checkpoint", "params:model", "observations", *PARAMETERS]
    return Pipeline([node(nodes.draw, inputs, ["reconstructions", "costs"], name="draw")])
