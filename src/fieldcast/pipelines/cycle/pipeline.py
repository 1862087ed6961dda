"""A user's record, checkpoints -> its analyses -> cycled, and its scores as text."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.cycle.nodes")

MODELS, OPTIONS = ("parameters", "checkpoints"), ("cycle", "seed", "limits", "device")
STEPS = (
    Step(nodes.analyse, MODELS, (*OPTIONS, "earlier"), ("cycle_analyses",)),
    Step(nodes.write, (*MODELS, "cycle_analyses"), OPTIONS, ("cycled", "summary_cycle")),
)


def create_pipeline() -> Pipeline:
    """The nodes of the stage `cycle`."""
    return Pipeline([as_node(step) for step in STEPS])
