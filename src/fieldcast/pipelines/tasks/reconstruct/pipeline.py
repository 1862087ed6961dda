"""Nodes of the task `reconstruct` in the stages that all tasks have, by stage."""

from kedro.pipeline import node
from kedro.pipeline.node import Node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import CHECKPOINT, LIMITS, PREPARED, SCORED, SEED, parts_of, training_inputs
from fieldcast.pipelines.tasks.reconstruct import nodes


def training(experiment: Experiment) -> list[Node]:
    """Fields, statistics -> checkpoint, history."""
    inputs = {**training_inputs(experiment), "sparsification": "params:sparsification"}
    return [node(nodes.fit_reconstruct, inputs, ["checkpoint", "history"], name="fit")]


def evaluation(experiment: Experiment) -> list[Node]:
    """Reconstructions, observations, fields -> scores, diagnostics, examples."""
    inputs = {
        "address": "params:address", **CHECKPOINT, **PREPARED, "draws": "draws", "observations": "observations",
        "evaluation": "params:evaluation", "sparsification": "params:sparsification", **parts_of(experiment),
    }  # fmt: skip
    return [
        node(nodes.score_reconstructions, inputs, SCORED, name="score"),
        node(nodes.summarise_reconstructions, ["scores", SEED], "metrics", name="summarise"),
        node(nodes.show_reconstructions, ["draws", "observations", "fields"], "examples", name="show"),
    ]


def collect(inputs: dict[str, str], name: str) -> Node:
    """Stored results -> those of the task, once its experiments of this run are there."""
    return node(nodes.collect_reconstruct, inputs, "results_reconstruct", name=name)


def rank() -> Node:
    """Results -> leaderboard, summary."""
    inputs = ["results_reconstruct", "fields", "params:evaluation", LIMITS, SEED]
    outputs = ["leaderboard_reconstruct", "summary_reconstruct"]
    return node(nodes.rank_reconstruct, inputs, outputs, name="rank_reconstruct")


def tables() -> list[Node]:
    """No tables beside the leaderboard."""
    return []


def page() -> Node:
    """Leaderboard, results -> what the page shows, and its figures."""
    inputs = ["leaderboard_reconstruct", "results_reconstruct", "fields", "climatology"]
    outputs = ["gathered_reconstruct", "figures_reconstruct"]
    return node(nodes.gather_reconstruct, inputs, outputs, name="gather_reconstruct")
