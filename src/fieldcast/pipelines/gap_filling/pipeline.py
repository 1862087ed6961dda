"""Fields with gaps -> mappings -> trials of the methods -> filled fields, the report on them, and figures."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.gap_filling import nodes
from fieldcast.pipelines.names import RUN

QUANTITIES = ["quantities", "quantities_scores"]
TRY = [
    "fields",
    *QUANTITIES,
    "params:gap_filling",
    "params:seed",
    "params:device",
    "params:previous_gaps_trials",
]
FILL = ["fields", *QUANTITIES, "gaps_trials", "params:ingestion", "params:gap_filling", *RUN.values()]
FILLED = ["gaps_fit", "gaps_filled", "summary_gap_filling", "series_gap_filling"]


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `gap_filling`."""
    return Pipeline(
        [
            node(
                nodes.choose_quantities,
                ["fields", "params:ingestion", "params:gap_filling", "params:seed", "params:device"],
                QUANTITIES,
                name="choose_quantities",
            ),
            node(nodes.try_methods, TRY, "gaps_trials", name="try_methods"),
            node(nodes.fill_gaps, FILL, FILLED, name="fill_gaps"),
            node(
                nodes.draw_figures,
                ["fields", "gaps_filled", "series_gap_filling", "params:gap_filling"],
                "figures_gap_filling",
                name="draw_figures",
            ),
        ]
    )
