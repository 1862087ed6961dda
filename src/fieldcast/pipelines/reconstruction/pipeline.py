"""checkpoint, observations, splits -> reconstructions, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.reconstruction import nodes

INPUTS = {name: name for name in ("checkpoint", "observations", "splits")}
PARAMETERS = {name: f"params:{name}" for name in ("model", "evaluation", "seed", "limits", "device")}


def create_pipeline(whose: str) -> Pipeline:
    """`whose`: address of the experiment whose checkpoint is drawn from."""
    inputs = INPUTS | PARAMETERS | {whose: f"params:{whose}.model"}
    return Pipeline([node(nodes.draw, inputs, ["reconstructions", "costs"], name="draw")])
