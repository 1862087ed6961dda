"""reconstructions, observations, fields -> scores, diagnostics, examples."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.evaluation import nodes

SCORED = ["reconstructions", "observations", "fields"]
PARAMETERS = ["params:evaluation", "params:limits", "params:seed"]


def create_pipeline() -> Pipeline:
    inputs = [*SCORED, "climatology", "normalisation", *PARAMETERS]
    return Pipeline(
        [
            node(nodes.score, inputs, ["scores", "diagnostics"], name="score"),
            node(nodes.summarise, ["scores", "params:seed"], "metrics", name="summarise"),
            node(nodes.show, SCORED, "examples", name="show"),
        ]
    )
