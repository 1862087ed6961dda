"""Names of data sets and of arguments that several pipelines share."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from fieldcast.errors import InputError
from fieldcast.experiments import Experiment
from fieldcast.inference.file_options import FILE_COMMANDS

FILE_PIPELINES = tuple(name for command in FILE_COMMANDS for name in (command.section, *command.pipelines))
INGESTING = tuple(command.section for command in FILE_COMMANDS if command.ingests)
# pipelines on a user's file with trained models, and on finished runs: they train nothing
STANDALONE = (*(name for name in FILE_PIPELINES if name not in INGESTING), "seeds")
# these two keep a state: the cycle in the data root, the other in the record that it replaces
UNLOCKED = tuple(name for name in STANDALONE if name not in ("record_cycle", "gap_appending"))
COMPLETE = ("all", *INGESTING, *STANDALONE)  # pipelines that together hold every node
# pipelines, environments and parameters by the names that they had, which are refused for one version
RENAMED = {
    "cycle": "record_cycle",
    "cycle.withheld": "record_cycle.held_out",
    "fill.max_gap": "gap_filling.max_gap",
    "fill.max_spread": "gap_filling.max_spread",
    "gaps": "gap_filling",
    "gridding": "station_fields",
    "record_cycle.withheld": "record_cycle.held_out",
    "stations": "station_scores",
    "studies": "comparisons",
}
RENAMED_COMMANDS = {
    "cycle": "it is `record-cycle` now",
    "slurm": "start the jobs of dask-jobqueue instead, see docs/scale.md",
}


def task_dataset(task: str, part: str) -> str:
    """Name of the data set `<part>_<task>`, which holds a part of the results of all experiments of a task; a task's
    name has no underscore."""
    return f"{part}_{task}"


def address_of(namespace: str | None) -> str:
    """The address `<task>.<name>` of the experiment of a node; empty for a shared node, of which there is one for all.

    The namespace of an experiment's node is `<task>.<name>.<stage>`, that of a shared node its stage.
    """
    task, dot, rest = (namespace or "").partition(".")
    return task + dot + rest.partition(".")[0] if dot else ""


# inputs that many nodes share, by argument
PREPARED = {name: name for name in ("fields", "climatology", "normalisation", "splits")}
RUN = {name: f"params:{name}" for name in ("seed", "limits", "device")}
SEED, LIMITS = RUN["seed"], RUN["limits"]
EVENTS = {"event_thresholds": "event_thresholds", "events": "params:events"}
SCORED = ["scores", "diagnostics"]
# the checkpoint that an experiment draws from, its own or that of another experiment, which trained it
CHECKPOINT = {
    "checkpoint": "checkpoint",
    "model": "params:model",
    "trained_by": "params:trained_by",
    "trained_model": "params:trained_model",
    "trained_fit": "params:trained_fit",
    **RUN,
}


def parts_of(experiment: Experiment) -> dict[str, str]:
    """The checkpoints of other experiments from which an experiment makes its model, by argument.

    `base` is the one that a training starts from, in the role `base`, or `forecast` of a filter. The others are those
    that a model pools. Each data set has the name of its role. Raises InputError for a role whose name is taken.
    """
    bases = [role for role in ("base", "forecast") if role in experiment.uses and experiment.trains]
    pooled = {role: role for role in experiment.uses if role not in ("weights", "base", "forecast")}
    for role in pooled.keys() & (PREPARED.keys() | CHECKPOINT.keys()):
        raise InputError(
            f"{experiment.address}: uses.{role}: '{role}' is an input of every node: rename the role."
        )
    return ({"base": bases[0]} if bases else {}) | pooled


def training_inputs(experiment: Experiment) -> dict[str, str]:
    """Inputs of the training of every task, by argument."""
    options = {name: f"params:{name}" for name in ("model", "fit", "previous_checkpoint")}
    return {**PREPARED, **RUN, **options, **parts_of(experiment)}


def stages_of(task: str) -> ModuleType:
    """The nodes of a task in the stages that all tasks have: `pipelines/tasks/<task>/pipeline.py`."""
    return import_module(f"fieldcast.pipelines.tasks.{task}.pipeline")
