"""checkpoint, fields -> draws, densities, latents, pictures, costs."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.parameters import experiment_types
from fieldcast.pipelines.steps import from_checkpoint, node_of
from fieldcast.tasks import Task

nodes = Module("fieldcast.pipelines.sampling.nodes")

INPUTS = PREPARED | {name: f"params:{name}" for name in ("options", "sampling", "earlier")}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses, and examine its latent space."""
    types = experiment_types(task, experiment)
    draw, inputs = from_checkpoint(nodes.draw, experiment)
    examine_latent_space, _ = from_checkpoint(nodes.examine_latent_space, experiment)
    inputs |= INPUTS
    return Pipeline(
        [
            node_of(draw, inputs, ["draws", "costs"], types=types),
            node_of(examine_latent_space, inputs, ["densities", "latents", "pictures"], types=types),
        ]
    )
