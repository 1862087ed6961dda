"""Names of data sets and of arguments that several pipelines share."""

from __future__ import annotations

from fieldcast.experiments import Experiment

TRAINING = ("training", "calibration")  # stages that make an experiment's own checkpoint


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


def stage_of(namespace: str | None) -> str:
    """The stage of a node, the last part of its namespace; empty for a node without one."""
    return (namespace or "").rpartition(".")[2]


def is_transient(name: str) -> bool:
    """Whether a data set exists within a run only, so that it is not on the disk for a later one."""
    return name.startswith(("results_", "gathered_")) or name.endswith(".results")


RESULTS_OF = (
    "results_of_"  # prefix of experiments as arguments, whose names might be those of other arguments
)
PREPARED = {name: name for name in ("fields", "climatology", "normalisation", "splits")}


def stored_model(experiment: Experiment) -> dict[str, str]:
    """The arguments that make a `StoredModel` of the checkpoint from which an experiment draws."""
    drawing = {name: f"params:{name}" for name in ("model", "seed", "limits", "device")}
    trained_by = {
        "fit": f"params:{experiment.draws_from}.fit",
        "trained_model": f"params:{experiment.draws_from}.model",
    }
    return {"checkpoint": "checkpoint", **drawing, **trained_by, **base_dataset(experiment)}


def base_dataset(experiment: Experiment) -> dict[str, str]:
    """The argument for the checkpoint that an experiment starts its own from; the data set has the name of its role."""
    roles = [role for role in ("base", "forecast") if role in experiment.uses and experiment.trains]
    return {"base": roles[0]} if roles else {}


def pooled_roles(experiment: Experiment) -> list[str]:
    """Roles of the checkpoints that an experiment pools: all roles but those with a meaning of their own."""
    return [role for role in experiment.uses if role not in ("weights", "base", "forecast")]
