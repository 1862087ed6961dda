"""fields, statistics, forecast -> checkpoint, history."""

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.calibration import nodes
from fieldcast.pipelines.names import PREPARED, base_of
from fieldcast.tasks import Task

NAMES = ("earlier", "model", "fit", "seed", "limits", "device", "assimilation", "sparsification")
INPUTS = PREPARED | {"planet_states": "planet_states"} | {name: f"params:{name}" for name in NAMES}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Calibrate a filter around the forecast model whose checkpoint it uses."""
    return Pipeline(
        [node(nodes.fit, INPUTS | base_of(experiment), ["checkpoint", "history"], name="calibrate")]
    )
