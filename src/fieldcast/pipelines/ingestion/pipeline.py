"""source -> fields, quality, states -> splits -> quantities -> climatology, normalisation."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.ingestion import nodes

MAKE_FIELDS = {
    "ingestion": "params:ingestion", "previous_fields": "params:previous_fields",
    "previous_quality": "params:previous_quality", "previous_planet_states": "params:previous_planet_states",
}  # fmt: skip
CHOOSE = [
    "fields",
    "splits",
    "params:ingestion",
    "params:sparsification",
    "params:seed",
    "params:device",
]


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `ingestion`."""
    return Pipeline(
        [
            node(nodes.make_fields, MAKE_FIELDS, ["fields", "quality", "planet_states"], name="make_fields"),
            node(nodes.split, ["fields", "params:ingestion"], "splits", name="split"),
            node(
                nodes.choose_quantities, CHOOSE, ["quantities", "quantities_scores"], name="choose_quantities"
            ),
            node(
                nodes.fit_statistics,
                ["fields", "splits", "quantities"],
                ["climatology", "normalisation"],
                name="fit_statistics",
            ),
        ]
    )
