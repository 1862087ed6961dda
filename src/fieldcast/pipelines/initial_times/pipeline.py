"""fields -> initial times -> the perfect model's forecasts."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.initial_times.nodes")

STEPS = (
    Step(nodes.choose_initial_times, ("fields", "splits"), ("rollout", "limits"), ("initial_times",)),
    Step(
        nodes.run_perfect_model,
        data=("planet_states", "initial_times", "splits"),
        parameters=("rollout", "seed", "earlier"),
        outputs=("perfect_model",),
    ),
)


def create_pipeline() -> Pipeline:
    """The nodes of the stage `initial_times`."""
    return Pipeline([as_node(step) for step in STEPS])
