"""draws, checkpoint, fields -> scores, diagnostics, examples."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.evaluation import nodes

DRAWN = {"reconstruct": ("reconstructions", "observations"), "forecast": ("forecasts", "starts")}
SCORE: dict[str, Callable[..., Any]] = {"reconstruct": nodes.score, "forecast": nodes.score_forecasts}
SUMMARISE = {"reconstruct": nodes.summarise, "forecast": nodes.summarise_forecasts}
SHOW: dict[str, Callable[..., Any]] = {"reconstruct": nodes.show, "forecast": nodes.show_forecasts}
SHOWN = {
    "reconstruct": ["reconstructions", "observations", "fields"],
    "forecast": ["forecasts", "fields", "climatology"],
}
TRUTH = ("fields", "splits", "climatology", "normalisation")
OPTIONS = {"reconstruct": ("evaluation", "sparsification"), "forecast": ("rollout",)}
HOW = {  # draws were made
    "reconstruct": {"model": "params:model"},
    "forecast": {"model": "params:model", "options": "params:options"},
}
SAMPLED = ("samples", "densities", "latents", "checkpoint", "fields", "normalisation", "splits", "extractor")


def create_pipeline(task: str, file: bool = False) -> Pipeline:
    """`file`: the draws were made elsewhere, and there is no checkpoint."""
    if task == "sample":
        return samples()
    if task not in DRAWN:
        return Pipeline([])
    inputs = {name: name for name in (*DRAWN[task], *TRUTH)}
    inputs |= {name: f"params:{name}" for name in (*OPTIONS[task], "limits", "seed")}
    inputs |= {"model": "params:model"} if file else {"checkpoint": "checkpoint", **HOW[task]}
    return Pipeline(
        [
            node(
                nodes.score_adopted if file else SCORE[task], inputs, ["scores", "diagnostics"], name="score"
            ),
            node(SUMMARISE[task], ["scores", "params:seed"], "metrics", name="summarise"),
            node(SHOW[task], SHOWN[task], "examples", name="show"),
        ]
    )


def samples() -> Pipeline:
    """Of states drawn from nothing: against the test split as a whole."""
    inputs = {name: name for name in SAMPLED}
    inputs |= {name: f"params:{name}" for name in ("model", "sampling", "limits", "seed")}
    return Pipeline(
        [
            node(nodes.score_samples, inputs, ["scores", "diagnostics", "shown"], name="score"),
            node(nodes.summarise_samples, "scores", "metrics", name="summarise"),
            node(nodes.show_samples, ["pictures", "shown"], "examples", name="show"),
        ]
    )
