"""fields, statistics -> training state, checkpoint, history, loss curve."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.training import nodes
from fieldcast.tasks import Task

FITTED = ["fields", "climatology", "normalisation", "splits"]
PARAMETERS = [f"params:{name}" for name in ("model", "fit", "seed", "limits", "device")]
FIT: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "reconstruct": (nodes.fit_reconstruction, ["params:sparsification"]),
    "forecast": (nodes.fit_forecast, []),
    "sample": (nodes.fit_sampler, ["params:options"]),
}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Train an experiment; the checkpoint in the role `base` holds the closed-form part that it starts from."""
    fit, further = FIT[task.name]
    base = ["base"] if "base" in experiment.uses else []
    inputs = [*FITTED, "state_before", *PARAMETERS, *further, *base]
    return Pipeline(
        [
            node(fit, inputs, ["training_state", "checkpoint", "history"], name="fit"),
            node(nodes.plot_history, "history", "loss_curve", name="plot_history"),
        ]
    )
