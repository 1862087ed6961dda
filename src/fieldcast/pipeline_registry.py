"""Which pipelines there are: stages, tasks, experiments, `demo`, and those that stand alone, as `fill`.

A stage is a pipeline, an experiment is a namespace `<task>.<name>` found by listing the configuration;
nothing is edited here to add one. Inside a namespace names are dotted; what crosses its border has
underscores.
"""

import importlib
import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.project import settings
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.utils import find_kedro_project

from fieldcast.errors import InputError
from fieldcast.experiments import Experiment, demo, experiments, requirements

PREPARATION = {  # once for all experiments of the task
    "reconstruct": ("ingestion", "sparsification"),
    "forecast": ("ingestion", "initial_times"),
    "sample": ("ingestion", "features"),
}
LIFE = {  # once for each experiment of the task
    "reconstruct": ("training", "reconstruction", "evaluation"),
    "forecast": ("training", "rollout", "evaluation"),
    "sample": ("training", "sampling", "evaluation"),
}
COLLECTION = "reporting"  # once, from the scores of all experiments
STANDALONE = ("fill", "predict", "tables")  # on a user's file, with what has been trained; on finished runs
PRIVATE = ("model", "fit", "options")  # parameters of an experiment; all others are shared
# of an experiment but read by the report, as <task>_<name>_scores
PUBLIC = ("scores", "costs", "history", "diagnostics", "examples", "stability", "snapshots", "latents")

STAGES = tuple(dict.fromkeys(name for names in (*PREPARATION.values(), *LIFE.values()) for name in names))

CONTEXT: ContextVar[KedroContext | None] = ContextVar("CONTEXT", default=None)  # of the session in force
CATALOG: ContextVar[CatalogProtocol | None] = ContextVar("CATALOG", default=None)  # of the last run


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by name; a stage whose package is not there is left out."""
    conf = configuration()
    known = experiments(conf)
    preparation = {name: stage(name) for names in PREPARATION.values() for name in names}
    shared = {_base(output) for one in preparation.values() for output in one.all_outputs()}
    lives = {address: life(one, shared) for address, one in known.items()}
    by_task = _by_task(known)
    collection = {COLLECTION: stage(COLLECTION, experiments=by_task)}

    def whole(chosen: list[Experiment]) -> Pipeline:
        needed = {need.address: need for one in chosen for need in requirements(one, known)}
        before = {name for need in needed.values() for name in PREPARATION[need.task]}
        stages = (part for address in needed for part in lives[address].values())
        return together([*(preparation[name] for name in before), *stages, *collection.values()])

    pipelines = {name: one for name, one in {**preparation, **collection}.items() if one.nodes}
    for name in {name for stages in lives.values() for name in stages}:
        pipelines[name] = together(stages[name] for stages in lives.values() if name in stages)
    for task in by_task:
        pipelines[task] = whole([one for one in known.values() if one.task == task])
    pipelines |= {address: whole([one]) for address, one in known.items()}
    pipelines |= {name: one for name in STANDALONE if (one := stage(name)).nodes}
    chosen = demo(conf, known)
    return (
        pipelines | ({"demo": whole(chosen)} if chosen else {}) | {"__default__": whole(list(known.values()))}
    )


def together(parts: Iterable[Pipeline]) -> Pipeline:
    """The union of pipelines: a node that several of them hold is there once."""
    return Pipeline({node for part in parts for node in part.nodes})


def configuration() -> Path:
    """The folder of configuration: of the session in force, or of the project around here."""
    here = find_kedro_project(Path.cwd()) or Path.cwd()
    context = CONTEXT.get()
    conf = Path(context.config_loader.conf_source) if context else here / settings.CONF_SOURCE
    if not (conf / "base").is_dir():
        raise InputError(
            f"there is no configuration in {conf}: go to the project's folder, or set FIELDCAST_CONF."
        )
    return conf


def stage(name: str, **keywords: Any) -> Pipeline:
    """The pipeline of a stage, made with those of the keywords that it takes; empty where there is none."""
    packages = "fieldcast.pipelines", f"fieldcast.pipelines.{name}", f"fieldcast.pipelines.{name}.pipeline"
    if not all(importlib.util.find_spec(package) for package in packages):
        return Pipeline([])
    create = importlib.import_module(packages[-1]).create_pipeline
    taken = inspect.signature(create).parameters
    made: Pipeline = create(**{key: value for key, value in keywords.items() if key in taken})
    return made


def life(experiment: Experiment, shared: set[str]) -> dict[str, Pipeline]:
    """The stages of one experiment by name, without those that are not there."""
    if experiment.task not in LIFE:
        raise InputError(
            f"{experiment.address}: '{experiment.task}' is no task; the tasks are {', '.join(LIFE)}."
        )
    if experiment.file and experiment.task != "forecast":
        raise InputError(f"{experiment.address}: only experiments of forecast can be of type File.")
    trains = not (experiment.weights or experiment.file)
    names = [name for name in LIFE[experiment.task] if name != "training" or trains]
    keywords = {
        "task": experiment.task,
        "base": bool(experiment.base),
        "file": experiment.file,
        "whose": experiment.weights or experiment.address,
    }
    stages = {name: stage(name, **keywords) for name in names}
    return {name: stamp(one, experiment, shared) for name, one in stages.items() if one.nodes}


def stamp(one: Pipeline, experiment: Experiment, shared: set[str]) -> Pipeline:
    """A stage of an experiment: private names dotted, shared as they are, public with underscores."""
    public = {name: f"{experiment.task}_{experiment.name}_{name}" for name in PUBLIC}
    borrowed = {"base": f"{experiment.base}.checkpoint"} if experiment.base else {}
    if experiment.weights:
        borrowed["checkpoint"] = f"{experiment.weights}.checkpoint"
    known = {**{name: name for name in shared}, **public, **borrowed}
    inputs = {
        name: known[_base(name)] + name[len(_base(name)) :] for name in one.inputs() if _base(name) in known
    }
    parameters = {name for name in one.inputs() if name.startswith("params:") and _root(name) not in PRIVATE}
    outputs = {name: public[name] for name in one.all_outputs() if name in public}
    return Pipeline(one, namespace=experiment.address, inputs=inputs, outputs=outputs, parameters=parameters)


def _by_task(known: Mapping[str, Experiment]) -> dict[str, list[str]]:
    tasks = sorted({one.task for one in known.values()}, key=list(LIFE).index)
    return {task: [one.name for one in known.values() if one.task == task] for task in tasks}


def _base(name: str) -> str:
    return name.partition("@")[0]


def _root(parameter: str) -> str:
    return parameter.removeprefix("params:").partition(".")[0]
