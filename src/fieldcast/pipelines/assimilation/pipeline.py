"""checkpoint, forecast, observations -> draws, costs, leads."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.assimilation import nodes
from fieldcast.pipelines.names import CHECKPOINT, PREPARED, RUN, parts_of

ASSIMILATION = {"assimilation": "params:assimilation"}


def create_pipeline(experiment: Experiment, **kwargs: Any) -> Pipeline:
    """Cycle with the checkpoint that the experiment calibrated or uses, and forecast from its analyses."""
    cycle = {
        **CHECKPOINT, **PREPARED, "cycle_observations": "cycle_observations", "planet_states": "planet_states",
        **ASSIMILATION, "sparsification": "params:sparsification",
        "previous_draws": "params:previous_draws", "previous_costs": "params:previous_costs", **parts_of(experiment),
    }  # fmt: skip
    forecast = {
        **PREPARED, **RUN, **ASSIMILATION, "draws": "draws", "forecast": "forecast",
        "previous_leads": "params:previous_leads",
    }  # fmt: skip
    cycles = [node(nodes.cycle, cycle, ["draws", "costs"], name="cycle")]
    forecasts = [node(nodes.forecast, forecast, "leads", name="forecast")]
    return Pipeline(cycles + forecasts if "forecast" in experiment.uses else cycles)
