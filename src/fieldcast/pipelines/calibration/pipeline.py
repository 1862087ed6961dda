"""fields, statistics, forecast -> checkpoint, history."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import PREPARED, base_dataset
from fieldcast.pipelines.steps import node_of
from fieldcast.tasks import Task

nodes = Module("fieldcast.pipelines.calibration.nodes")

NAMES = ("earlier", "model", "fit", "seed", "limits", "device", "assimilation", "sparsification")
INPUTS = PREPARED | {"planet_states": "planet_states"} | {name: f"params:{name}" for name in NAMES}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Calibrate a filter around the forecast model whose checkpoint it uses."""
    inputs = INPUTS | base_dataset(experiment)
    return Pipeline([node_of(nodes.fit, inputs, ["checkpoint", "history"], "calibrate")])
