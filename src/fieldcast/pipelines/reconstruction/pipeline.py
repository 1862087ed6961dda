"""checkpoint, observations, fields, splits -> reconstructions, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.reconstruction import nodes

INPUTS = {name: name for name in ("checkpoint", "observations", "fields", "splits")}
SHARED = ("evaluation", "seed", "limits", "device", "sparsification")
PARAMETERS = {name: f"params:{name}" for name in ("model", *SHARED)}


def create_pipeline(whose: str) -> Pipeline:
    """`whose`: address of the experiment whose checkpoint is drawn from."""
    inputs = INPUTS | PARAMETERS | {"fit": f"params:{whose}.fit", whose: f"params:{whose}.model"}
    return Pipeline([node(nodes.draw, inputs, ["reconstructions", "costs"], name="draw")])
