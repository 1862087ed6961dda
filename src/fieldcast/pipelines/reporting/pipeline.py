"""Results of all experiments -> leaderboards, summary; their costs -> one table; everything -> figures, report."""

from collections.abc import Iterable
from typing import Any

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import stages_of, task_dataset
from fieldcast.pipelines.reporting import nodes
from fieldcast.tasks import TASKS

DATA = ["fields", "splits", "climatology", "quality", "parameters"]


def create_pipeline(experiments: Iterable[Experiment] = (), **kwargs: Any) -> Pipeline:
    """Rank and show the tasks: the results of these experiments, which this run makes, and those on the disk."""
    listed = list(experiments)
    collected = [collect(task, [each for each in listed if each.task == task]) for task in TASKS]
    return Pipeline(
        [*collected, Pipeline(pages(), namespace="reporting", prefix_datasets_with_namespace=False)]
    )


def collect(task: str, experiments: Iterable[Experiment]) -> Pipeline:
    """Stored results of a task, once those of these experiments are there -> its results, and tables of them."""
    listed = list(experiments)
    gather = stages_of(task).collect(stored_inputs(task, listed), f"collect_{task}")
    box = task if listed else "reporting"
    return Pipeline([gather, *stages_of(task).tables()], namespace=box, prefix_datasets_with_namespace=False)


def stored_inputs(task: str, experiments: Iterable[Experiment]) -> dict[str, str]:
    """Inputs of the results of a task: those that are stored, and those that these experiments publish in this run."""
    return {
        "stored": task_dataset(task, "stored"), "experiments": f"params:{task}", "comparisons": "params:comparisons",
        **{f"{nodes.RESULTS_OF}{each.name}": f"{each.address}.results" for each in experiments},
    }  # fmt: skip


def pages() -> list[Node]:
    """Results of all tasks -> leaderboards, figures -> the page."""
    boards, results, summaries, gathered, figures = (
        {task: task_dataset(task, part) for task in TASKS}
        for part in ("leaderboard", "results", "summary", "gathered", "figures")
    )
    page = {**{name: name for name in DATA}, **gathered}
    page |= {f"{task}_figures": name for task, name in figures.items()}
    return [
        *(stages_of(task).rank() for task in TASKS),
        *(stages_of(task).page() for task in TASKS),
        node(nodes.compare, boards, "headlines", name="compare"),
        node(nodes.join_summaries, summaries, "summary", name="join_summaries"),
        node(nodes.list_costs, results, "costs", name="list_costs"),
        node(nodes.write_page, page, "report", name="write_page"),
    ]


def comparison(experiment: Experiment) -> Pipeline:
    """The results of an experiment that runs alone, and what is stored of its task -> a text."""
    task, address = experiment.task, experiment.address
    compared = [f"params:{address}.address", task_dataset(task, "leaderboard")]
    alone = Pipeline(
        [
            stages_of(task).collect(stored_inputs(task, [experiment]), "collect"),
            stages_of(task).rank(),
            node(nodes.compare_alone, compared, "comparison", name="compare"),
        ]
    )
    inputs = {name: name for name in alone.inputs() if not name.startswith("params:")}
    parameters = {name for name in alone.inputs() if name.startswith("params:")}
    outputs = {"comparison": f"{address}.comparison"}
    return Pipeline(
        alone,
        namespace=f"{address}.comparison",
        inputs=inputs,
        outputs=outputs,
        parameters=parameters,
        tags={"reporting", task},
    )
