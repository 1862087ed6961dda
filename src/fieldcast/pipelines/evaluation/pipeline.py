"""draws, checkpoint, fields -> scores, diagnostics, examples -> the list of an experiment's results."""

from collections.abc import Collection
from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.evaluation import nodes
from fieldcast.pipelines.names import stages_of
from fieldcast.tasks import TASKS


def create_pipeline(experiment: Experiment, outputs: Collection[str] = (), **kwargs: Any) -> Pipeline:
    """Score an experiment's draws as its task does (`pipelines/tasks`), and list its results, among them `outputs` of
    its other stages."""
    scored = Pipeline(stages_of(experiment.task).evaluation(experiment))
    ours = {*TASKS[experiment.task].results, "metrics"}
    results = {name: name for name in sorted((scored.all_outputs() | {*outputs}) & ours)}
    if "loss_curve@figure" in outputs:
        results["loss_curve"] = "loss_curve@png"
    return scored + Pipeline([node(nodes.publish, results, "results", name="publish")])
