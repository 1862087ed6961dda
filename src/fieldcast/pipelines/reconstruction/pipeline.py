"""checkpoint, observations, fields, splits -> draws, costs."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.steps import from_checkpoint, node_of
from fieldcast.tasks import Task

nodes = Module("fieldcast.pipelines.reconstruction.nodes")

PARAMETERS = {name: f"params:{name}" for name in ("evaluation", "sparsification", "earlier")}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses."""
    draw, inputs = from_checkpoint(nodes.draw, experiment)
    inputs |= PREPARED | PARAMETERS | {"observations": "observations"}
    return Pipeline([node_of(draw, inputs, ["draws", "costs"])])
