"""A user's stations -> fields from them alone, their scores at held-out stations, text and maps."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.station_fields import nodes

SCORED = ["gridded", "scores_station_fields", "scores_by_gauge"]
VARIOGRAM = "variogram_station_fields"


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `station_fields`."""
    inputs = ["params:station_fields", "params:ingestion.quantities", "params:seed", "params:device"]
    return Pipeline(
        [
            node(
                nodes.grid_stations,
                inputs,
                [*SCORED, "summary_station_fields", VARIOGRAM],
                name="grid_stations",
            ),
            node(nodes.draw_maps, [*SCORED, VARIOGRAM], "figures_station_fields", name="draw_maps"),
        ]
    )
