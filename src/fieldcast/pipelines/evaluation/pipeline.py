"""draws, checkpoint, fields -> scores, diagnostics, examples -> the results of an experiment."""

import inspect
from collections.abc import Callable, Collection, Iterable
from functools import update_wrapper
from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.evaluation import nodes
from fieldcast.pipelines.steps import as_node, from_checkpoint
from fieldcast.scores.statistics_table import name_rows
from fieldcast.tasks import Task


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Score an experiment's draws as its task does; draws that were made elsewhere have no checkpoint."""
    score = task.score_file if experiment.file and task.score_file else task.score
    function, inputs = from_checkpoint(score.function, experiment)
    scored = NamedScore(function, experiment.name)
    return Pipeline(
        [
            node(scored, score.inputs | inputs, list(score.outputs), name="score"),
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


class NamedScore:
    """The scoring of a task, with the experiment's name in each row of the score table, its first result.

    A class, as a runner with several processes cannot send them a function that is made within another.
    """

    def __init__(self, score: Callable[..., tuple[Any, ...]], experiment: str) -> None:
        """score: the function of the task; experiment: the name, without its task."""
        self.score, self.experiment = score, experiment
        update_wrapper(self, score)
        # Kedro looks at the parameters of the function itself, not of what it wraps
        self.__signature__ = inspect.signature(score)

    def __call__(self, *inputs: Any, **keywords: Any) -> tuple[Any, ...]:
        """Score the draws."""
        scores, *others = self.score(*inputs, **keywords)
        return name_rows(scores, self.experiment), *others

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.score, self.experiment)
