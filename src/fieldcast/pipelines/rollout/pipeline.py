"""checkpoint, fields, starts -> forecasts, stability, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.rollout import nodes

MADE = ["checkpoint", "params:model", "params:options", "fields", "starts", "params:seed", "params:device"]


def create_pipeline(file: bool = False) -> Pipeline:
    """`file`: the forecasts were made elsewhere."""
    if file:
        inputs = ["params:model", "perfect_model", "starts", "fields"]
        return Pipeline([node(nodes.adopt, inputs, "forecasts", name="adopt")])
    return Pipeline(
        [
            node(
                nodes.roll,
                [*MADE, "rollout_before", "forecasts_before"],
                ["forecasts", "rollout_state", "costs"],
                name="roll",
            ),
            node(
                nodes.stabilise,
                [*MADE, "stability_before"],
                ["stability", "snapshots", "stability_state"],
                name="stabilise",
            ),
        ]
    )
