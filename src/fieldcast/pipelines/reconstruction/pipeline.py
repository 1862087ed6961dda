"""checkpoint, observations, fields, splits -> draws, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import trained
from fieldcast.pipelines.reconstruction import nodes
from fieldcast.tasks import Task

INPUTS = {name: name for name in ("checkpoint", "observations", "fields", "splits")}
SHARED = ("evaluation", "seed", "limits", "device", "sparsification")
PARAMETERS = {name: f"params:{name}" for name in ("model", *SHARED)}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses."""
    inputs = INPUTS | PARAMETERS | trained(experiment.draws_from)
    return Pipeline([node(nodes.draw, inputs, ["draws", "costs"], name="draw")])
