"""Types of parameters, against which a run is checked before its first node; they import no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fieldcast.encoding.options import CycledAssimilation, Events, Limits, Rollout, Sparsification
from fieldcast.experiments import Experiment
from fieldcast.fields.options import Ingestion
from fieldcast.inference.file_options import Fill, Gaps, Gridding, Predict, RecordCycleOptions
from fieldcast.inference.options import Evaluation, File, Sampling, Seeds
from fieldcast.tasks import Task
from fieldcast.training.options import Fit

TYPES: dict[str, type] = {
    "assimilation": CycledAssimilation,
    "cycle": RecordCycleOptions,
    "evaluation": Evaluation,
    "events": Events,
    "fill": Fill,
    "fit": Fit,
    "gaps": Gaps,
    "gridding": Gridding,
    "ingestion": Ingestion,
    "limits": Limits,
    "predict": Predict,
    "rollout": Rollout,
    "sampling": Sampling,
    "seeds": Seeds,
    "sparsification": Sparsification,
}


def experiment_types(task: Task, experiment: Experiment) -> dict[str, type]:
    """Types of the parameters of one experiment that differ between tasks, and of the model of type File."""
    return {**task.types, **({"model": File} if experiment.file else {})}


def type_of(source: str, further: Mapping[str, type]) -> Any:
    """The type of a node's input: of a parameter (`params:fit`, `params:forecast.vae.fit`) by its last name.

    `further` are types of parameters that an experiment's task decides. Anything else has none, which is Any.
    """
    if not source.startswith("params:"):
        return Any
    name = source.removeprefix("params:").rpartition(".")[2]
    return further.get(name) or TYPES.get(name, Any)
