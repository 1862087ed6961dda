"""draws, fields -> scores, diagnostics, examples."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.evaluation import nodes

DRAWN = {"reconstruct": ["reconstructions", "observations"], "forecast": ["forecasts", "starts"]}
SCORE: dict[str, Callable[..., Any]] = {"reconstruct": nodes.score, "forecast": nodes.score_forecasts}
SUMMARISE = {"reconstruct": nodes.summarise, "forecast": nodes.summarise_forecasts}
SHOW: dict[str, Callable[..., Any]] = {"reconstruct": nodes.show, "forecast": nodes.show_forecasts}
SHOWN = {
    "reconstruct": ["reconstructions", "observations", "fields"],
    "forecast": ["forecasts", "fields", "climatology"],
}
PARAMETERS = {
    "reconstruct": ["params:evaluation", "params:limits", "params:seed"],
    "forecast": ["params:seed"],
}


SAMPLED = ["samples", "densities", "latents", "fields", "normalisation", "splits", "extractor"]
OPTIONS = [f"params:{name}" for name in ("sampling", "limits", "seed")]


def create_pipeline(task: str) -> Pipeline:
    if task == "sample":
        return samples()
    if task not in DRAWN:
        return Pipeline([])
    scored = [*DRAWN[task], "fields"]
    inputs = [*scored, "climatology", "normalisation", *PARAMETERS[task]]
    return Pipeline(
        [
            node(SCORE[task], inputs, ["scores", "diagnostics"], name="score"),
            node(SUMMARISE[task], ["scores", "params:seed"], "metrics", name="summarise"),
            node(SHOW[task], SHOWN[task], "examples", name="show"),
        ]
    )


def samples() -> Pipeline:
    """Of states drawn from nothing: against the test split as a whole."""
    return Pipeline(
        [
            node(nodes.score_samples, [*SAMPLED, *OPTIONS], ["scores", "diagnostics", "shown"], name="score"),
            node(nodes.summarise_samples, "scores", "metrics", name="summarise"),
            node(nodes.show_samples, ["pictures", "shown"], "examples", name="show"),
        ]
    )
