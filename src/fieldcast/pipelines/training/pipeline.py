"""fields, statistics -> checkpoint, history, loss curve."""

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import PREPARED, parts_of
from fieldcast.pipelines.steps import with_parts
from fieldcast.pipelines.training import nodes
from fieldcast.tasks import Task

INPUTS = PREPARED | {
    name: f"params:{name}" for name in ("earlier", "model", "fit", "seed", "limits", "device")
}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Train an experiment.

    The checkpoint in the role `base` holds the closed-form part that it starts from; a pool has one for each part.
    """
    parts = parts_of(experiment)
    inputs = INPUTS | {role: role for role in parts}
    if task.options:
        inputs["options"] = f"params:{task.options[0]}"
    if "base" in experiment.uses:
        inputs["base"] = "base"
    return Pipeline(
        [
            node(with_parts(nodes.fit_on(task), parts), inputs, ["checkpoint", "history"], name="fit"),
            node(nodes.plot_history, "history", "loss_curve", name="plot_history"),
        ]
    )
