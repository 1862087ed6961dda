"""fields, statistics, forecast -> checkpoint, history."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.calibration import nodes
from fieldcast.pipelines.names import PREPARED, RUN, parts_of


def create_pipeline(experiment: Experiment, **kwargs: Any) -> Pipeline:
    """Calibrate a filter around the forecast model whose checkpoint it uses."""
    inputs = {
        **PREPARED, **RUN, "planet_states": "planet_states", "model": "params:model", "fit": "params:fit",
        "assimilation": "params:assimilation", "sparsification": "params:sparsification",
        "previous_checkpoint": "params:previous_checkpoint", **parts_of(experiment),
    }  # fmt: skip
    return Pipeline([node(nodes.calibrate, inputs, ["checkpoint", "history"], name="calibrate")])
