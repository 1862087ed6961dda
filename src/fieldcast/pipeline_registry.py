"""The pipelines by name: stages, tasks, experiments, `demo` (the default), `all`, reports, and others such as `fill`.

A stage is a pipeline, an experiment is a namespace `<task>.<name>`, and each experiment in the configuration is stamped
with the stages of its task. Names of data sets with dots are private to an experiment, all others are shared.
"""

import warnings
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from kedro.pipeline import Pipeline

from fieldcast.app.conf_source import left_out, parameters, source_of_data
from fieldcast.experiments import Experiment, listed_experiments, requirements, selections
from fieldcast.pipelines.names import INGESTING, STANDALONE
from fieldcast.pipelines.reporting.pipeline import comparison
from fieldcast.tasks import TASKS

# stages in the order in which they run: once for all experiments, and for each of them
PREPARATION = tuple(dict.fromkeys(name for task in TASKS.values() for name in task.preparation))
STAGES = (*PREPARATION, *dict.fromkeys(name for task in TASKS.values() for name in task.stages))
# parameters that each experiment has of its own, and the beginning of what it stored earlier; all others are shared
PRIVATE = ("params:model", "params:fit", "params:options", "params:address")
PREVIOUS = "params:previous_"

# Kedro reserves dots for namespaces; here they name checkpoints that an experiment of another task uses
warnings.filterwarnings("ignore", "One or more dataset names contain '.' characters", UserWarning)


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by name."""
    listed = listed_experiments(given := parameters(), TASKS)
    prepared = {name: boxed(name, stage(name), {name}) for name in PREPARATION}
    shared = {output for pipeline in prepared.values() for output in pipeline.all_outputs()}
    stamped = {address: stamp(experiment, shared) for address, experiment in listed.items()}

    def complete(selected: Iterable[Experiment]) -> Pipeline:
        """Everything that experiments need, from the data to their results."""
        needed = {need.address: need for each in selected for need in requirements(each, listed)}
        before = {name for need in needed.values() for name in TASKS[need.task].preparation}
        return union([*(prepared[name] for name in before), *(stamped[address] for address in needed)])

    def reported(selected: list[Experiment]) -> Pipeline:
        """Experiments with all that they need, and the report that waits for them."""
        return complete(selected) + Pipeline(stage("reporting", experiments=selected), tags="reporting")

    lacking = left_out(listed, source_of_data())
    default = [each for address, each in listed.items() if address not in lacking]
    groups = {task: [each for each in default if each.task == task] for task in TASKS}
    groups |= {name: each.experiments for name, each in selections(given, listed).items()}
    every = union(stamped[each.address] for each in default)
    return {
        **prepared,
        **{name: every.only_nodes_with_tags(name) for name in STAGES if name not in PREPARATION},
        "reporting": Pipeline(stage("reporting"), tags="reporting"),
        **{name: stage(name) for name in STANDALONE},
        **{name: prepared["ingestion"].to_outputs("fields") + stage(name) for name in INGESTING},
        **{address: complete([each]) + comparison(each) for address, each in listed.items()},
        **{name: reported(group) for name, group in groups.items() if group},
        "all": reported(default),
        "__default__": reported(groups.get("demo") or default),
    }


def stage(name: str, **options: Any) -> Pipeline:
    return import_module(f"fieldcast.pipelines.{name}.pipeline").create_pipeline(**options)


def boxed(name: str, pipeline: Pipeline, tags: set[str]) -> Pipeline:
    """A stage as a box of the graph; its data sets keep their names."""
    return Pipeline(pipeline, namespace=name, prefix_datasets_with_namespace=False, tags=tags)


def stamp(experiment: Experiment, shared: set[str]) -> Pipeline:
    """The stages of an experiment; a data set with the name of a role is the checkpoint used in that role."""
    task, stages, trained = TASKS[experiment.task], Pipeline([]), experiment.draws_from
    tags = {task.name, *([experiment.about.family] if experiment.about.family else [])}
    for name in task.stages:
        part = stage(name, experiment=experiment, outputs=stages.all_outputs())
        if experiment.trains or "checkpoint" not in part.all_outputs():
            stages += boxed(name, part, {name, *tags})
    renamed = {name: name for name in shared}
    renamed |= {role: f"{address}.checkpoint" for role, address in experiment.uses.items()}
    renamed["checkpoint"] = f"{trained}.checkpoint"
    options = {name: name for name in stages.inputs() if name.startswith("params:")}
    options = {
        name: to for name, to in options.items() if name not in PRIVATE and not name.startswith(PREVIOUS)
    }
    options |= {f"params:trained_{name}": f"params:{trained}.{name}" for name in ("model", "fit")}
    options["params:trained_by"] = f"params:{trained}.address"
    inputs = {name: renamed[name] for name in stages.inputs() & renamed.keys()}
    given = {name: options[name] for name in stages.inputs() & options.keys()}
    return Pipeline(stages, namespace=experiment.address, inputs=inputs, parameters=given)


def union(pipelines: Iterable[Pipeline]) -> Pipeline:
    """The union of pipelines: a node that several of them hold is there once."""
    return Pipeline({node for pipeline in pipelines for node in pipeline.nodes})
