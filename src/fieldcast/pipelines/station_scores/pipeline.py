"""A user's stations, checkpoints -> scores at held-out stations, their text and their maps."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.names import RUN
from fieldcast.pipelines.station_scores import nodes

INPUTS = ["params:fill", "params:evaluation", "parameters", "checkpoints", *RUN.values()]
SCORES = ["scores_stations", "scores_by_station"]


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `station_scores`."""
    return Pipeline(
        [
            node(nodes.score, INPUTS, [*SCORES, "summary_station_scores"], name="score_stations"),
            node(nodes.draw_maps, ["fields", *SCORES], "figures_station_scores", name="draw_maps"),
        ]
    )
