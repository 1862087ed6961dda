"""checkpoint, fields, starts, splits -> draws, stability, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import trained
from fieldcast.pipelines.rollout import nodes
from fieldcast.tasks import Task

INPUTS = {name: name for name in ("checkpoint", "fields", "starts", "splits")}
PARAMETERS = {name: f"params:{name}" for name in ("model", "options", "seed", "rollout", "limits", "device")}
FILE = {name: name for name in ("perfect_model", "starts", "fields", "splits")}
FILE |= {name: f"params:{name}" for name in ("model", "rollout", "limits", "seed")}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses; take in forecasts that were made elsewhere."""
    if experiment.file:
        return Pipeline([node(nodes.adopt, FILE, "draws", name="adopt")])
    inputs = INPUTS | PARAMETERS | {"earlier": "params:earlier"} | trained(experiment.draws_from)
    return Pipeline(
        [
            node(nodes.roll, inputs, ["draws", "costs"], name="roll"),
            node(nodes.stabilise, inputs, ["stability", "snapshots"], name="stabilise"),
        ]
    )
