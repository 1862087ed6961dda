"""checkpoint, fields -> samples, densities, latents, pictures, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.sampling import nodes

INPUTS = {name: name for name in ("checkpoint", "fields", "splits")}
PARAMETERS = {name: f"params:{name}" for name in ("model", "options", "sampling", "seed", "limits", "device")}


def create_pipeline(whose: str) -> Pipeline:
    """`whose`: address of the experiment whose checkpoint is drawn from."""
    inputs = INPUTS | PARAMETERS | {"fit": f"params:{whose}.fit", whose: f"params:{whose}.model"}
    return Pipeline(
        [
            node(nodes.draw, inputs, ["samples", "costs"], name="draw"),
            node(nodes.look_inside, inputs, ["densities", "latents", "pictures"], name="look_inside"),
        ]
    )
