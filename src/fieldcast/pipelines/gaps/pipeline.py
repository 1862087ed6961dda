"""Fields with gaps -> trials of the methods -> filled fields, the report on them, and figures."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node, node_of
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.gaps.nodes")

TRIAL = Step(nodes.try_methods, ("fields",), ("gaps", "seed", "device", "earlier"), ("gaps_trials",))
FILL = {"fields": "fields", "trials": "gaps_trials", "fill_options": "params:fill"}
FILL |= {name: f"params:{name}" for name in ("ingestion", "seed", "limits", "device")}
FIGURE_INPUTS = {"fields": "fields", "filled": "gaps_filled", "series": "series_gaps"}


def create_pipeline() -> Pipeline:
    """The nodes of the stage `gaps`."""
    return Pipeline(
        [
            as_node(TRIAL),
            node_of(nodes.fill_gaps, FILL, ["gaps_filled", "summary_gaps", "series_gaps"]),
            node_of(nodes.draw_figures, FIGURE_INPUTS, ["figures_gaps"]),
        ]
    )
