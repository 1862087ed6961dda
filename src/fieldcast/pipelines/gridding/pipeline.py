"""A user's stations -> fields from them alone, their scores at held-out stations, text and maps."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node, node_of
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.gridding.nodes")

GRID = Step(
    nodes.grid_stations,
    data=(),
    parameters=("gridding", "seed", "device"),
    outputs=("gridded", "scores_gridding", "scores_by_gauge", "summary_gridding"),
)
MAP_INPUTS = {"fields": "gridded", "scores": "scores_gridding", "by_station": "scores_by_gauge"}


def create_pipeline() -> Pipeline:
    """The nodes of the stage `gridding`."""
    return Pipeline([as_node(GRID), node_of(nodes.draw_maps, MAP_INPUTS, ["figures_gridding"])])
