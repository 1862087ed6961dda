"""Nodes of the task `forecast` in the stages that all tasks have, by stage."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import node
from kedro.pipeline.node import Node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import CHECKPOINT, EVENTS, PREPARED, SCORED, SEED, parts_of, training_inputs
from fieldcast.pipelines.tasks.forecast import nodes


def training(experiment: Experiment) -> list[Node]:
    """Fields, statistics -> checkpoint, history."""
    return [node(nodes.fit_forecast, training_inputs(experiment), ["checkpoint", "history"], name="fit")]


def evaluation(experiment: Experiment) -> list[Node]:
    """Forecasts, fields -> scores, diagnostics, events, examples; forecasts made elsewhere have no checkpoint."""
    inputs = {
        "address": "params:address", **PREPARED, "draws": "draws", "initial_times": "initial_times", **EVENTS,
        "rollout": "params:rollout",
    }  # fmt: skip
    if experiment.file:
        score: Callable[..., Any] = nodes.score_forecast_file
        inputs |= {name: f"params:{name}" for name in ("model", "seed", "limits")}
    else:
        score = nodes.score_forecasts
        inputs |= {**CHECKPOINT, "options": "params:options", **parts_of(experiment)}
    return [
        node(score, inputs, [*SCORED, "events"], name="score"),
        node(nodes.summarise_forecasts, ["scores", SEED], "metrics", name="summarise"),
        node(nodes.show_forecasts, ["draws", "fields", "climatology"], "examples", name="show"),
    ]


def collect(inputs: dict[str, str], name: str) -> Node:
    """Stored results -> those of the task, once its experiments of this run are there."""
    return node(nodes.collect_forecast, inputs, "results_forecast", name=name)


def rank() -> Node:
    """Results -> leaderboard, summary."""
    outputs = ["leaderboard_forecast", "summary_forecast"]
    return node(nodes.rank_forecast, ["results_forecast", "fields", SEED], outputs, name="rank_forecast")


def tables() -> list[Node]:
    """Results -> the long rollouts step by step, scores of events."""
    events = ["results_forecast", "fields", SEED]
    return [
        node(nodes.tabulate, "results_forecast", "stability", name="tabulate"),
        node(nodes.forecast_events, events, "event_scores_forecast", name="forecast_events"),
    ]


def page() -> Node:
    """Leaderboard, results, scores of events -> what the page shows, its figures and the animation."""
    inputs = ["leaderboard_forecast", "results_forecast", "fields", "climatology", "event_scores_forecast"]
    outputs = ["gathered_forecast", "figures_forecast", "animation_forecast"]
    return node(nodes.gather_forecast, inputs, outputs, name="gather_forecast")
