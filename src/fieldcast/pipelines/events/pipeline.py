"""fields, climatology -> thresholds of events."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.events.nodes")

STEPS = (
    Step(
        nodes.fit_thresholds,
        data=("fields", "splits", "climatology"),
        parameters=("events", "earlier"),
        outputs=("event_thresholds",),
    ),
)


def create_pipeline() -> Pipeline:
    """The nodes of the stage `events`."""
    return Pipeline([as_node(step) for step in STEPS])
