"""draws, checkpoint, fields -> scores, diagnostics, examples -> the results of an experiment."""

from collections.abc import Collection, Iterable
from typing import get_type_hints

from kedro.pipeline import Pipeline

from fieldcast.arguments import bind_arguments
from fieldcast.deferred import Module
from fieldcast.experiments import Experiment
from fieldcast.pipelines.parameters import experiment_types
from fieldcast.pipelines.steps import as_node, from_checkpoint, node_of
from fieldcast.tasks import Step, Task

nodes = Module("fieldcast.pipelines.evaluation.nodes")


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Score an experiment's draws as its task does; draws that were made elsewhere have no checkpoint."""
    score = task.score_file if experiment.file and task.score_file else task.score
    function, inputs = score.function, score.inputs
    if "checkpoint" in inputs:
        function, stored = from_checkpoint(function, experiment)
        inputs |= stored
    scored = bind_arguments(nodes.score, function=function, experiment=experiment.name)
    types = experiment_types(task, experiment) | get_type_hints(score.function)
    summarise = Step(task.metrics, ("scores",), ("seed",), ("metrics",))
    return Pipeline(
        [
            node_of(scored, inputs, score.outputs, "score", types),
            as_node(summarise, "summarise"),
            as_node(task.show, "show"),
        ]
    )


def publish(stages: Iterable[Pipeline], results: Collection[str]) -> Pipeline:
    """Everything that the stages of an experiment publish, as one data set.

    These are the outputs that none of them reads, and those among the `results` that ranking and page read.
    """
    pipeline = Pipeline([node for stage in stages for node in stage.nodes])
    names = sorted(pipeline.outputs() | (pipeline.all_outputs() & set(results)))
    return Pipeline([node_of(nodes.publish, {name: name for name in names}, ["results"])])
