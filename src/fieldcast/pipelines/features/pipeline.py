"""fields -> extractor: what sets of states are compared in."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.features import nodes

INPUTS = ["fields", "normalisation", "splits", "params:earlier"]


def create_pipeline() -> Pipeline:
    return Pipeline([node(nodes.fit_features, INPUTS, "extractor", name="fit_features")])
