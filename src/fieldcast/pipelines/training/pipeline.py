"""fields, statistics -> checkpoint, history, loss curve."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import stages_of
from fieldcast.pipelines.training import nodes


def create_pipeline(experiment: Experiment, **kwargs: Any) -> Pipeline:
    """Train the model of an experiment as its task does (`pipelines/tasks`), from the checkpoints that it uses."""
    plot = node(nodes.plot_history, "history", "loss_curve@figure", name="plot_history")
    return Pipeline([*stages_of(experiment.task).training(experiment), plot])
