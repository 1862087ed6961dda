"""checkpoint, fields -> draws, densities, latents, pictures, costs."""

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import trained
from fieldcast.pipelines.sampling import nodes
from fieldcast.tasks import Task

INPUTS = {name: name for name in ("checkpoint", "fields", "splits")}
PARAMETERS = {name: f"params:{name}" for name in ("model", "options", "sampling", "seed", "limits", "device")}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses, and look at what it has learned."""
    inputs = INPUTS | PARAMETERS | trained(experiment.draws_from)
    return Pipeline(
        [
            node(nodes.draw, inputs, ["draws", "costs"], name="draw"),
            node(nodes.look_inside, inputs, ["densities", "latents", "pictures"], name="look_inside"),
        ]
    )
