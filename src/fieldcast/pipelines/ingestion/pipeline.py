"""source -> fields, quality, states -> splits -> climatology, normalisation."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.ingestion import nodes

OUTPUTS = ["fields", "quality", "planet_states"]


def create_pipeline() -> Pipeline:
    return Pipeline(
        [
            node(nodes.make_fields, ["params:ingestion", "params:earlier"], OUTPUTS, name="make_fields"),
            node(nodes.split, ["fields", "params:ingestion"], "splits", name="split"),
            node(
                nodes.fit_statistics,
                ["fields", "splits"],
                ["climatology", "normalisation"],
                name="fit_statistics",
            ),
        ]
    )
