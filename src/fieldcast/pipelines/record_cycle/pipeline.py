"""A user's record, checkpoints -> its analyses -> cycled, and its scores as text."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.names import RUN
from fieldcast.pipelines.record_cycle import nodes

INPUTS = ["params:record_cycle", "parameters", "checkpoints", *RUN.values()]


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `record_cycle`."""
    return Pipeline(
        [
            node(
                nodes.analyse, [*INPUTS, "params:previous_cycle_analyses"], "cycle_analyses", name="analyse"
            ),
            node(nodes.write, [*INPUTS, "cycle_analyses"], ["cycled", "summary_record_cycle"], name="write"),
        ]
    )
