"""A filled record, its fit and later times -> the longer record."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.gap_appending import nodes
from fieldcast.pipelines.names import RUN

INPUTS = ["params:ingestion", "params:gap_filling", *RUN.values()]


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The node of the stage `gap_appending`."""
    outputs = ["gaps_fit", "gaps_filled", "summary_gap_appending"]
    return Pipeline([node(nodes.append, INPUTS, outputs, name="append_times")])
