"""checkpoint, fields -> draws, densities, latents, pictures, costs."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import CHECKPOINT, PREPARED, parts_of
from fieldcast.pipelines.sampling import nodes

EXAMINED = ("densities", "latents", "pictures")  # outputs in the order in which they are stored


def create_pipeline(experiment: Experiment, **kwargs: Any) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses, and examine its latent space."""
    inputs = {
        **CHECKPOINT, **PREPARED, "options": "params:options", "sampling": "params:sampling", **parts_of(experiment),
    }  # fmt: skip
    previous = {f"previous_{name}": f"params:previous_{name}" for name in ("draws", "costs")}
    examined = {f"previous_{name}": f"params:previous_{name}" for name in EXAMINED}
    return Pipeline(
        [
            node(nodes.draw, {**inputs, **previous}, ["draws", "costs"], name="draw"),
            node(
                nodes.examine_latent_space, {**inputs, **examined}, [*EXAMINED], name="examine_latent_space"
            ),
        ]
    )
