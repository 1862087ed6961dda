"""fields, statistics -> training state, checkpoint, history, loss curve."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.training import nodes

FITTED = ["fields", "climatology", "normalisation", "splits"]
PARAMETERS = ["model", "fit", "sparsification", "seed", "limits", "device"]


def create_pipeline(base: bool = False) -> Pipeline:
    """`base`: training starts from another experiment's checkpoint."""
    inputs = [
        *FITTED,
        "state_before",
        *(f"params:{name}" for name in PARAMETERS),
        *(["base"] if base else []),
    ]
    return Pipeline(
        [
            node(nodes.fit, inputs, ["training_state", "checkpoint", "history"], name="fit"),
            node(nodes.plot_history, "history", "loss_curve", name="plot_history"),
        ]
    )
