"""Assembly: stages become the pipeline of an experiment, and pipelines of experiments a run with one report.

Names of data sets with dots are private to an experiment, all others are shared.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Collection, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kedro.pipeline import Pipeline

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import TRAINING, is_transient

if TYPE_CHECKING:
    from fieldcast.pipelines.reporting.pipeline import Ranked
    from fieldcast.tasks import Task

PRIVATE_PARAMETERS = ("model", "fit", "options")  # parameters of each experiment; all others are shared

# Kedro warns of names with dots, which it reserves for namespaces; here they are checkpoints that an experiment of
# another task uses
warnings.filterwarnings("ignore", "One or more dataset names contain '.' characters", UserWarning)


def stage(name: str) -> ModuleType:
    """The module of a stage, whose `create_pipeline` makes its pipeline."""
    return importlib.import_module(f"fieldcast.pipelines.{name}.pipeline")


def stage_pipeline(name: str) -> Pipeline:
    """The pipeline of a stage that runs by itself."""
    pipeline: Pipeline = stage(name).create_pipeline()
    return pipeline


def union(pipelines: Iterable[Pipeline]) -> Pipeline:
    """The union of pipelines: a node that several of them hold is there once."""
    return Pipeline({node for pipeline in pipelines for node in pipeline.nodes})


def own_stages(experiment: Experiment, task: "Task") -> list[str]:
    """Names of the stages of an experiment; one with the weights of another is not trained."""
    return [name for name in task.stages if name not in TRAINING or experiment.trains]


def experiment_pipeline(
    experiment: Experiment, task: "Task", shared: set[str], names: Collection[str]
) -> Pipeline:
    """Some stages of one experiment; each node has stage, task and family as tags."""
    from fieldcast.pipelines.steps import in_box

    stages = own_stages(experiment, task)
    is_last = stages[-1] in names
    by_stage = {
        name: stage(name).create_pipeline(task, experiment) for name in stages if is_last or name in names
    }
    if is_last:  # it publishes the outputs of all stages
        by_stage[stages[-1]] += stage("evaluation").publish(by_stage.values(), task.results)
    tags = {task.name} | ({experiment.about.family} if experiment.about.family else set())
    boxes = [in_box(by_stage[name], name, {name, *tags}) for name in stages if name in names]
    return in_namespace(union(boxes), experiment, shared)


def in_namespace(pipeline: Pipeline, experiment: Experiment, shared: set[str]) -> Pipeline:
    """Stages of an experiment: private names dotted, shared ones as they are.

    A data set with the name of a role is the checkpoint that the experiment uses in that role; `checkpoint` is the one
    that it draws from.
    """
    used = {role: f"{address}.checkpoint" for role, address in experiment.uses.items()}
    if not experiment.trains:
        used["checkpoint"] = f"{experiment.draws_from}.checkpoint"
    renamed = {**{name: name for name in shared}, **used}
    inputs = {
        name: renamed[base_name(name)] + name[len(base_name(name)) :]
        for name in pipeline.inputs()
        if base_name(name) in renamed
    }
    parameters = {
        name
        for name in pipeline.inputs()
        if name.startswith("params:") and _root(name) not in PRIVATE_PARAMETERS
    }
    return Pipeline(pipeline, namespace=experiment.address, inputs=inputs, parameters=parameters)


class WithReporting(Pipeline):
    """Stages, and a reporting that waits for the results of the experiments among them.

    Reporting reads the results of all other experiments from the disk, so the graph of an experiment shows no node of
    any other. The sum of two such pipelines also has a single reporting: `kedro run --pipelines a,b` adds pipelines
    that each bring theirs.
    """

    def __init__(self, stages: Pipeline, ranked: "Ranked") -> None:
        self.stages, self.ranked = stages, ranked
        reporting = stage("reporting").create_pipeline(ranked, stages.all_outputs())
        super().__init__([stages, Pipeline(reporting, tags="reporting")])

    def __add__(self, other: Any) -> Pipeline:
        others = other.stages if isinstance(other, WithReporting) else other
        return WithReporting(union([self.stages, others]), self.ranked)

    __radd__ = __add__

    def filter(self, *selection: Any, **further: Any) -> Pipeline:
        """Select nodes, with those that make their inputs again where no run stores them.

        What the selected stages do not make, reporting reads from the disk.
        """
        if not (
            any(selection) or any(further.values())
        ):  # a run of everything, which is not to be built twice
            return self
        selected = {node.name for node in super().filter(*selection, **further).nodes}
        stages = with_makers(self.stages, selected)
        reporting = WithReporting(stages, self.ranked)
        own_names = {name.rpartition(".")[2] for name in selected}  # its namespace depends on the stages
        return stages + with_makers(
            Pipeline([node for node in reporting.nodes if "reporting" in node.tags]),
            {node.name for node in reporting.nodes if node.name.rpartition(".")[2] in own_names},
        )


def with_makers(pipeline: Pipeline, names: Collection[str]) -> Pipeline:
    """The nodes of these names, with those that make their inputs where no run stores them."""
    selected = {node.name for node in pipeline.nodes} & set(names)
    makers = {output: node for node in pipeline.nodes for output in node.outputs if is_transient(output)}
    for node in reversed(pipeline.nodes):
        if node.name in selected:
            selected |= {makers[source].name for source in node.inputs if source in makers}
    return pipeline.only_nodes(*selected) if selected else Pipeline([])


def base_name(name: str) -> str:
    """The name of a data set without its transcoding (`@...`)."""
    return name.partition("@")[0]


def _root(parameter: str) -> str:
    return parameter.removeprefix("params:").partition(".")[0]
