"""A user's gridded forecasts and stations -> scores, in all and by station, and their text."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.forecast_scores import nodes

OUTPUTS = ["scores_forecasts", "scores_by_lead_and_station", "summary_forecast_scores"]


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The node of the stage `forecast_scores`."""
    return Pipeline(
        [node(nodes.score, ["params:forecast_scores", "params:seed"], OUTPUTS, name="score_forecasts")]
    )
