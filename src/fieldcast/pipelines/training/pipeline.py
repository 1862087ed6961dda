"""fields, statistics -> checkpoint, history, loss curve."""

from kedro.pipeline import Pipeline

from fieldcast.arguments import bind_arguments, collect_argument
from fieldcast.deferred import Module
from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import PREPARED, pooled_roles
from fieldcast.pipelines.parameters import experiment_types
from fieldcast.pipelines.steps import as_node, node_of, with_pooled
from fieldcast.tasks import Step, Task

nodes = Module("fieldcast.pipelines.training.nodes")

INPUTS = PREPARED | {
    name: f"params:{name}" for name in ("earlier", "model", "fit", "seed", "limits", "device")
}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Train an experiment.

    The checkpoint in the role `base` holds the closed-form part that it starts from; a pool has one for each pooled
    model.
    """
    roles = pooled_roles(experiment)
    inputs = INPUTS | {role: role for role in roles}
    inputs |= {name: f"params:{name}" for name in task.options}
    if "base" in experiment.uses:
        inputs["base"] = "base"
    fit = with_pooled(bind_arguments(nodes.fit, task=task), roles)
    if task.options:
        fit = collect_argument(fit, "options", task.options)
    return Pipeline(
        [
            node_of(fit, inputs, ["checkpoint", "history"], types=experiment_types(task, experiment)),
            as_node(Step(nodes.plot_history, ("history",), (), ("loss_curve",))),
        ]
    )
