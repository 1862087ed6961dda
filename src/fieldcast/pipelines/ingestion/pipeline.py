"""source -> fields, quality, states -> splits -> climatology, normalisation."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.ingestion import nodes

MADE = ["fields", "quality", "planet_states"]
BEFORE = ["fields_before", "quality_before", "planet_states_before"]


def create_pipeline() -> Pipeline:
    return Pipeline(
        [
            node(nodes.make_fields, ["params:ingestion", *BEFORE], MADE, name="make_fields"),
            node(nodes.split, ["fields", "params:ingestion"], "splits", name="split"),
            node(
                nodes.fit_statistics,
                ["fields", "splits"],
                ["climatology", "normalisation"],
                name="fit_statistics",
            ),
        ]
    )
