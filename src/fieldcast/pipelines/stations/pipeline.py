"""A user's stations, checkpoints -> scores at held-out stations, their text and their maps."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node, node_of
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.stations.nodes")

SCORE = Step(
    nodes.score,
    data=("parameters", "checkpoints"),
    parameters=("fill", "evaluation", "seed", "limits", "device"),
    outputs=("scores_stations", "scores_by_station", "summary_stations"),
)
MAP_INPUTS = {"fields": "fields", "scores": "scores_stations", "by_station": "scores_by_station"}


def create_pipeline() -> Pipeline:
    """The nodes of the stage `stations`."""
    return Pipeline(
        [as_node(SCORE, "score_stations"), node_of(nodes.draw_maps, MAP_INPUTS, ["figures_stations"])]
    )
