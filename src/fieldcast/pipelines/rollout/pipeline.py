"""checkpoint, fields, starts, splits -> forecasts, stability, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.rollout import nodes

INPUTS = {name: name for name in ("checkpoint", "fields", "starts", "splits")}
PARAMETERS = {name: f"params:{name}" for name in ("model", "options", "seed", "rollout", "limits", "device")}
FILE = {name: name for name in ("perfect_model", "starts", "fields", "splits")}
FILE |= {name: f"params:{name}" for name in ("model", "rollout", "limits", "seed")}


def create_pipeline(whose: str, file: bool = False) -> Pipeline:
    """`whose`: address of the experiment whose checkpoint is drawn from; `file`: the forecasts were made elsewhere."""
    if file:
        return Pipeline([node(nodes.adopt, FILE, "forecasts", name="adopt")])
    made = INPUTS | PARAMETERS | {"fit": f"params:{whose}.fit", whose: f"params:{whose}.model"}
    return Pipeline(
        [
            node(
                nodes.roll,
                made | {"earlier": "rollout_before", "on_disk": "forecasts_before"},
                ["forecasts", "rollout_state", "costs"],
                name="roll",
            ),
            node(
                nodes.stabilise,
                made | {"earlier": "stability_before"},
                ["stability", "snapshots", "stability_state"],
                name="stabilise",
            ),
        ]
    )
