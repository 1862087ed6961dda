"""draws, checkpoint, fields -> scores, diagnostics, examples -> the results of an experiment."""

import inspect
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import wraps
from typing import Any

import pandas as pd
from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.evaluation import nodes
from fieldcast.pipelines.steps import as_node
from fieldcast.scores.statistics_table import name_rows
from fieldcast.tasks import Task


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Score an experiment's draws as its task does; draws that were made elsewhere have no checkpoint."""
    score = task.score_file if experiment.file and task.score_file else task.score
    score = replace(score, function=named(score.function, experiment.name))
    return Pipeline(
        [
            as_node(score, "score"),
            node(task.headline, ["scores", "params:seed"], "metrics", name="summarise"),
            as_node(task.show, "show"),
        ]
    )


def publish(stages: Iterable[Pipeline], results: Collection[str]) -> Pipeline:
    """Everything that the stages of an experiment leave for others, as one data set.

    These are the outputs that none of them reads, and those among the `results` that ranking and page read.
    """
    life = Pipeline([node for stage in stages for node in stage.nodes])
    parts = sorted(life.outputs() | (life.all_outputs() & set(results)))
    return Pipeline([node(nodes.publish, {part: part for part in parts}, "results", name="publish")])


def named(
    score: Callable[..., tuple[pd.DataFrame, *tuple[Any, ...]]], experiment: str
) -> Callable[..., tuple[pd.DataFrame, *tuple[Any, ...]]]:
    """The function with the experiment's name in each row of the score table, its first result."""

    @wraps(score)
    def with_name(*inputs: Any, **keywords: Any) -> tuple[pd.DataFrame, *tuple[Any, ...]]:
        scores, *others = score(*inputs, **keywords)
        return name_rows(scores, experiment), *others

    # Kedro looks at the parameters of the function itself, not of what it wraps
    with_name.__signature__ = inspect.signature(score)  # type: ignore[attr-defined]
    return with_name
