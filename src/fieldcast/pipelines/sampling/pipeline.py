"""checkpoint, fields -> samples, densities, latents, pictures, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.sampling import nodes

MADE = ["checkpoint", "params:model", "params:options", "fields", "splits"]
PARAMETERS = [f"params:{name}" for name in ("sampling", "seed", "limits", "device")]


def create_pipeline() -> Pipeline:
    inputs = [*MADE, *PARAMETERS]
    return Pipeline(
        [
            node(nodes.draw, inputs, ["samples", "costs"], name="draw"),
            node(nodes.look_inside, inputs, ["densities", "latents", "pictures"], name="look_inside"),
        ]
    )
