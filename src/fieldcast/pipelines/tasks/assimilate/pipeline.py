"""Nodes of the task `assimilate` in the stages that all tasks have, by stage; `calibration` is its training."""

from kedro.pipeline import node
from kedro.pipeline.node import Node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import CHECKPOINT, EVENTS, LIMITS, PREPARED, SCORED, SEED, parts_of
from fieldcast.pipelines.tasks.assimilate import nodes


def evaluation(experiment: Experiment) -> list[Node]:
    """Analyses and backgrounds, observations, fields -> scores, diagnostics, events, examples, film."""
    inputs = {
        "address": "params:address", **CHECKPOINT, **PREPARED, "draws": "draws",
        "cycle_observations": "cycle_observations", **EVENTS,
        "assimilation": "params:assimilation", "sparsification": "params:sparsification",
        **parts_of(experiment),
    }  # fmt: skip
    shown = ["draws", "cycle_observations", "fields"]
    return [
        node(nodes.score_analyses, inputs, [*SCORED, "events"], name="score"),
        node(nodes.summarise_analyses, ["scores", SEED], "metrics", name="summarise"),
        node(nodes.show_analyses, shown, ["examples", "film"], name="show"),
    ]


def collect(inputs: dict[str, str], name: str) -> Node:
    """Stored results -> those of the task, once its experiments of this run are there."""
    return node(nodes.collect_assimilate, inputs, "results_assimilate", name=name)


def rank() -> Node:
    """Results -> leaderboard, summary."""
    inputs = ["results_assimilate", "fields", "params:assimilation", LIMITS, SEED]
    outputs = ["leaderboard_assimilate", "summary_assimilate"]
    return node(nodes.rank_assimilate, inputs, outputs, name="rank_assimilate")


def tables() -> list[Node]:
    """Results -> the lead time lost, scores of events."""
    leads = ["results_assimilate", "fields", "params:assimilation", LIMITS]
    return [
        node(nodes.tabulate_leads, leads, "lead_time_lost", name="tabulate_leads"),
        node(nodes.cycle_events, [*leads, SEED], "event_scores_assimilate", name="cycle_events"),
    ]


def page() -> Node:
    """Leaderboard, results, scores of events -> what the page shows, and its figures."""
    results = "leaderboard_assimilate", "results_assimilate"
    inputs = [*results, "fields", "climatology", "event_scores_assimilate"]
    outputs = ["gathered_assimilate", "figures_assimilate"]
    return node(nodes.gather_assimilate, inputs, outputs, name="gather_assimilate")
