"""fields, statistics -> training state, checkpoint, history, loss curve."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.training import nodes

FITTED = ["fields", "climatology", "normalisation", "splits"]
PARAMETERS = [f"params:{name}" for name in ("model", "fit", "seed", "limits", "device")]
FIT: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "reconstruct": (nodes.fit_reconstruction, ["params:sparsification"]),
    "forecast": (nodes.fit_forecast, []),
    "sample": (nodes.fit_sampler, ["params:options"]),
}


def create_pipeline(task: str, base: bool = False) -> Pipeline:
    """`base`: training starts from another experiment's checkpoint."""
    if task not in FIT:
        return Pipeline([])
    fit, further = FIT[task]
    inputs = [*FITTED, "state_before", *PARAMETERS, *further, *(["base"] if base else [])]
    return Pipeline(
        [
            node(fit, inputs, ["training_state", "checkpoint", "history"], name="fit"),
            node(nodes.plot_history, "history", "loss_curve", name="plot_history"),
        ]
    )
