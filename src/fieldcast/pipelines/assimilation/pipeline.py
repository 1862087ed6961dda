"""checkpoint, forecast, observations -> draws, costs, leads."""

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.assimilation import nodes
from fieldcast.pipelines.names import PREPARED
from fieldcast.pipelines.steps import from_checkpoint
from fieldcast.tasks import Task

PARAMETERS = {name: f"params:{name}" for name in ("assimilation", "sparsification", "earlier")}

FORECAST = PREPARED | {"draws": "draws", "forecast": "forecast"}
FORECAST |= {name: f"params:{name}" for name in ("assimilation", "seed", "limits", "device")}


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Cycle with the checkpoint that the experiment calibrated or uses, and forecast from its analyses."""
    run, inputs = from_checkpoint(nodes.run, experiment)
    inputs |= PREPARED | PARAMETERS | {name: name for name in ("cycle_observations", "planet_states")}
    cycle = Pipeline([node(run, inputs, ["draws", "costs"], name="cycle")])
    if "forecast" not in experiment.uses:
        return cycle
    return cycle + Pipeline([node(nodes.forecast_on, FORECAST, "leads", name="forecast")])
