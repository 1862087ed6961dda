"""A user's stations, checkpoints -> scores at left-out stations, and their text."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.stations.nodes")

SCORE = Step(
    nodes.score,
    data=("parameters", "checkpoints"),
    parameters=("fill", "evaluation", "seed", "limits", "device"),
    outputs=("scores_stations", "summary_stations"),
)


def create_pipeline() -> Pipeline:
    return Pipeline([as_node(SCORE, "score_stations")])
