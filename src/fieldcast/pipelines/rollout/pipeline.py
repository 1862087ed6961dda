"""checkpoint, fields, starts, splits -> draws, stability, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.rollout import nodes
from fieldcast.pipelines.steps import from_checkpoint
from fieldcast.tasks import Task

INPUTS = (
    PREPARED | {"starts": "starts"} | {name: f"params:{name}" for name in ("rollout", "options", "earlier")}
)
FILE = {name: name for name in ("perfect_model", "starts", "fields", "splits")}
FILE |= {name: f"params:{name}" for name in ("model", "rollout", "limits", "seed")}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses; take in forecasts that were made elsewhere."""
    if experiment.file:
        return Pipeline([node(nodes.adopt, FILE, "draws", name="adopt")])
    roll, inputs = from_checkpoint(nodes.roll, experiment)
    roll_long, _ = from_checkpoint(nodes.roll_long, experiment)
    inputs |= INPUTS
    return Pipeline(
        [
            node(roll, inputs, ["draws", "costs"], name="roll"),
            node(roll_long, inputs, ["stability", "snapshots"], name="roll_long"),
        ]
    )
