"""Fields with gaps -> trials of the methods -> filled fields, the report on them, and figures."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.gaps import nodes

DRAWN = ["fields", "gaps_filled", "series_gaps"]


def create_pipeline() -> Pipeline:
    trial = ["fields", "params:gaps", "params:seed", "params:device", "params:earlier"]
    fill = ["fields", "gaps_trials", "params:fill", "params:seed", "params:limits", "params:device"]
    return Pipeline(
        [
            node(nodes.try_methods, trial, "gaps_trials", name="try_methods"),
            node(nodes.fill_gaps, fill, ["gaps_filled", "summary_gaps", "series_gaps"], name="fill_gaps"),
            node(nodes.draw_figures, DRAWN, "figures_gaps", name="draw_figures"),
        ]
    )
