"""A user's stations, checkpoints -> scores at left-out stations, and their text."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.stations import nodes

PARAMETERS = ["params:seed", "params:limits", "params:device"]


def create_pipeline() -> Pipeline:
    inputs = ["params:fill", "params:evaluation", "parameters", "checkpoints", *PARAMETERS]
    return Pipeline(
        [node(nodes.score, inputs, ["scores_stations", "summary_stations"], name="score_stations")]
    )
