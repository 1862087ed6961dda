"""fields -> observations."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.sparsification import nodes

FITTED = ["fields", "climatology", "normalisation", "splits"]


def create_pipeline() -> Pipeline:
    return Pipeline(
        [
            node(
                nodes.observe,
                [*FITTED, "params:sparsification", "params:limits"],
                "observations",
                name="observe",
            )
        ]
    )
