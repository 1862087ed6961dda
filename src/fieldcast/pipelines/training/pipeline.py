"""fields, statistics -> checkpoint, history, loss curve."""

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.training import nodes
from fieldcast.tasks import Task

INPUTS = PREPARED | {
    name: f"params:{name}" for name in ("earlier", "model", "fit", "seed", "limits", "device")
}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Train an experiment; the checkpoint in the role `base` holds the closed-form part that it starts from."""
    options = {"options": f"params:{task.options[0]}"} if task.options else {}
    base = {"base": "base"} if "base" in experiment.uses else {}
    return Pipeline(
        [
            node(nodes.fit_on(task), INPUTS | options | base, ["checkpoint", "history"], name="fit"),
            node(nodes.plot_history, "history", "loss_curve", name="plot_history"),
        ]
    )
