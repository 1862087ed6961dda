"""Nodes of the task `sample` in the stages that all tasks have, by stage."""

from kedro.pipeline import node
from kedro.pipeline.node import Node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import CHECKPOINT, LIMITS, PREPARED, SCORED, parts_of, training_inputs
from fieldcast.pipelines.tasks.sample import nodes


def training(experiment: Experiment) -> list[Node]:
    """Fields, statistics -> checkpoint, history."""
    inputs = {**training_inputs(experiment), "options": "params:options"}
    return [node(nodes.fit_sample, inputs, ["checkpoint", "history"], name="fit")]


def evaluation(experiment: Experiment) -> list[Node]:
    """Samples, fields -> scores, diagnostics, examples."""
    inputs = {
        "address": "params:address", **CHECKPOINT, **PREPARED, "extractor": "extractor",
        **{name: name for name in ("draws", "densities", "latents")},
        "options": "params:options", "sampling": "params:sampling", **parts_of(experiment),
    }  # fmt: skip
    return [
        node(nodes.score_samples, inputs, [*SCORED, "displayed"], name="score"),
        node(nodes.summarise_samples, "scores", "metrics", name="summarise"),
        node(nodes.show_samples, ["pictures", "displayed"], "examples", name="show"),
    ]


def collect(inputs: dict[str, str], name: str) -> Node:
    """Stored results -> those of the task, once its experiments of this run are there."""
    return node(nodes.collect_sample, inputs, "results_sample", name=name)


def rank() -> Node:
    """Results -> leaderboard, summary."""
    inputs = ["results_sample", "fields", "splits", "params:sampling", LIMITS]
    return node(nodes.rank_sample, inputs, ["leaderboard_sample", "summary_sample"], name="rank_sample")


def tables() -> list[Node]:
    """No tables beside the leaderboard."""
    return []


def page() -> Node:
    """Leaderboard, results -> what the page shows, and its figures."""
    inputs = ["leaderboard_sample", "results_sample", "fields"]
    return node(nodes.gather_sample, inputs, ["gathered_sample", "figures_sample"], name="gather_sample")
