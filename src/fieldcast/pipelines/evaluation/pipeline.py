"""draws, checkpoint, fields -> scores, diagnostics, examples."""

from kedro.pipeline import Pipeline, node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Task


def create_pipeline(task: Task, experiment: Experiment) -> Pipeline:
    """Score an experiment's draws as its task does; draws that were made elsewhere have no checkpoint."""
    score = task.score_file if experiment.file else task.score
    return Pipeline(
        [
            as_node(score or task.score, "score"),
            node(task.headline, ["scores", "params:seed"], "metrics", name="summarise"),
            as_node(task.show, "show"),
        ]
    )
