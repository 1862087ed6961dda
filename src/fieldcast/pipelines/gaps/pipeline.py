"""Fields with gaps -> filled fields, and the report on them."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.gaps import nodes

PARAMETERS = ["params:seed", "params:limits", "params:device"]


def create_pipeline() -> Pipeline:
    inputs = ["fields", "params:fill", *PARAMETERS]
    return Pipeline([node(nodes.fill_gaps, inputs, ["gaps_filled", "summary_gaps"], name="fill_gaps")])
