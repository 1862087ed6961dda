"""checkpoint, forecast, observations -> draws, costs, leads."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.steps import from_checkpoint, node_of
from fieldcast.tasks import Task

nodes = Module("fieldcast.pipelines.assimilation.nodes")

PARAMETERS = {name: f"params:{name}" for name in ("assimilation", "sparsification", "earlier")}

FORECAST = PREPARED | {"draws": "draws", "forecast": "forecast"}
FORECAST |= {name: f"params:{name}" for name in ("assimilation", "seed", "limits", "device", "earlier")}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Cycle with the checkpoint that the experiment calibrated or uses, and forecast from its analyses."""
    run, inputs = from_checkpoint(nodes.run, experiment)
    inputs |= PREPARED | PARAMETERS | {name: name for name in ("cycle_observations", "planet_states")}
    cycle = Pipeline([node_of(run, inputs, ["draws", "costs"], "cycle")])
    if "forecast" not in experiment.uses:
        return cycle
    return cycle + Pipeline([node_of(nodes.forecast_on, FORECAST, ["leads"], "forecast")])
