"""fields -> extractor of the features in which sets of states are compared."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.features import nodes


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `features`."""
    inputs = ["fields", "normalisation", "splits", "params:previous_extractor"]
    return Pipeline([node(nodes.fit_features, inputs, "extractor", name="fit_features")])
