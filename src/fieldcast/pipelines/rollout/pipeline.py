"""checkpoint, fields, initial times, splits -> draws, stability, snapshots, costs."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import CHECKPOINT, PREPARED, parts_of
from fieldcast.pipelines.rollout import nodes

IMPORT = {name: name for name in ("perfect_model", "initial_times", "fields", "splits")}
IMPORT |= {name: f"params:{name}" for name in ("model", "rollout", "limits", "seed")}


def create_pipeline(experiment: Experiment, **kwargs: Any) -> Pipeline:
    """Draw from the checkpoint that the experiment trained or uses; take in forecasts that were made elsewhere."""
    if experiment.file:
        return Pipeline([node(nodes.import_forecasts, IMPORT, "draws", name="import_forecasts")])
    inputs = {
        **CHECKPOINT, **PREPARED, "initial_times": "initial_times",
        "rollout": "params:rollout", "options": "params:options", **parts_of(experiment),
    }  # fmt: skip
    previous = {"previous_draws": "params:previous_draws", "previous_costs": "params:previous_costs"}
    snapshots = {"previous_snapshots": "params:previous_snapshots"}
    return Pipeline(
        [
            node(nodes.roll, {**inputs, **previous}, ["draws", "costs"], name="roll"),
            node(nodes.roll_long, {**inputs, **snapshots}, ["stability", "snapshots"], name="roll_long"),
        ]
    )
