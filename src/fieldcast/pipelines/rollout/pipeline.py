"""checkpoint, fields, initial times, splits -> draws, stability, snapshots, costs."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.parameters import experiment_types
from fieldcast.pipelines.steps import as_node, from_checkpoint, node_of
from fieldcast.tasks import Step, Task

nodes = Module("fieldcast.pipelines.rollout.nodes")

INPUTS = (
    PREPARED
    | {"initial_times": "initial_times"}
    | {name: f"params:{name}" for name in ("rollout", "options", "earlier")}
)
IMPORT_FORECASTS = Step(
    nodes.import_forecasts,
    data=("perfect_model", "initial_times", "fields", "splits"),
    parameters=("model", "rollout", "limits", "seed"),
    outputs=("draws",),
)


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses; take in forecasts that were made elsewhere."""
    types = experiment_types(task, experiment)
    if experiment.file:
        return Pipeline([as_node(IMPORT_FORECASTS, types=types)])
    roll, inputs = from_checkpoint(nodes.roll, experiment)
    roll_long, _ = from_checkpoint(nodes.roll_long, experiment)
    inputs |= INPUTS
    return Pipeline(
        [
            node_of(roll, inputs, ["draws", "costs"], types=types),
            node_of(roll_long, inputs, ["stability", "snapshots"], types=types),
        ]
    )
