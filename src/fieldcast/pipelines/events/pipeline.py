"""fields, climatology -> thresholds of events."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.events import nodes


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `events`."""
    inputs = ["fields", "splits", "climatology", "params:events", "params:previous_event_thresholds"]
    return Pipeline([node(nodes.fit_thresholds, inputs, "event_thresholds", name="fit_thresholds")])
