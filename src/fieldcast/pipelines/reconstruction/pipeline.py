"""checkpoint, observations, fields, splits -> draws, costs."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import CHECKPOINT, PREPARED, parts_of
from fieldcast.pipelines.reconstruction import nodes


def create_pipeline(experiment: Experiment, **kwargs: Any) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses."""
    inputs = {
        **CHECKPOINT, **PREPARED, "observations": "observations",
        "evaluation": "params:evaluation", "sparsification": "params:sparsification",
        "previous_draws": "params:previous_draws", "previous_costs": "params:previous_costs", **parts_of(experiment),
    }  # fmt: skip
    return Pipeline([node(nodes.draw, inputs, ["draws", "costs"], name="draw")])
