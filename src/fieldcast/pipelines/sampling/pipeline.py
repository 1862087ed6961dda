"""checkpoint, fields -> draws, densities, latents, pictures, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.sampling import nodes
from fieldcast.pipelines.steps import from_checkpoint
from fieldcast.tasks import Task

INPUTS = PREPARED | {name: f"params:{name}" for name in ("options", "sampling", "earlier")}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses, and look at what it has learned."""
    draw, inputs = from_checkpoint(nodes.draw, experiment)
    look_inside, _ = from_checkpoint(nodes.look_inside, experiment)
    inputs |= INPUTS
    return Pipeline(
        [
            node(draw, inputs, ["draws", "costs"], name="draw"),
            node(look_inside, inputs, ["densities", "latents", "pictures"], name="look_inside"),
        ]
    )
