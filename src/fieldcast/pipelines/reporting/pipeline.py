"""Results of all experiments -> leaderboards, summary; their costs -> one table; everything -> figures, report."""

from collections.abc import Callable, Collection, Sequence

from kedro.pipeline import Pipeline

from fieldcast.arguments import bind_arguments
from fieldcast.deferred import Module
from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import RESULTS_OF, task_dataset
from fieldcast.pipelines.steps import as_node, in_box, node_of
from fieldcast.tasks import Task

nodes = Module("fieldcast.pipelines.reporting.nodes")

DATA = ["fields", "splits", "climatology", "quality", "parameters"]
# data sets that each task has for itself
TASK_DATASETS = ("results", "leaderboard", "summary", "gathered", "figures", "animation", "event_scores")
Ranked = Sequence[tuple[Task, Sequence[Experiment]]]  # tasks with their experiments


def create_pipeline(ranked: Ranked, outputs: Collection[str]) -> Pipeline:
    """Rank and show the tasks, with results from the disk and from the `outputs` of the same run."""
    tasks = [task.name for task, _ in ranked]
    page = {name: name for name in DATA}
    page |= {task: task_dataset(task, "gathered") for task in tasks}
    page |= {f"{task}_figures": task_dataset(task, "figures") for task in tasks}
    results = {task: task_dataset(task, "results") for task in tasks}
    summaries = {task: task_dataset(task, "summary") for task in tasks}
    boards = {task: task_dataset(task, "leaderboard") for task in tasks}
    all_tasks = [
        node_of(nodes.compare, boards, ["headlines"]),
        node_of(nodes.join_summaries, summaries, ["summary"]),
        node_of(nodes.list_costs, results, ["costs"]),
        node_of(nodes.write_page, page, ["report"]),
    ]
    pages = Pipeline([*(show(task) for task, _ in ranked), *all_tasks])
    collected = [collect(task, experiments, outputs) for task, experiments in ranked]
    return Pipeline([*collected, in_box(pages, "reporting")])


def collect(task: Task, experiments: Sequence[Experiment], outputs: Collection[str]) -> Pipeline:
    """The results of this run, with those of earlier ones -> the results of the task, and tables of them."""
    inputs = {
        "experiments": f"params:{task.name}",
        "studies": "params:studies",
        "earlier": task_dataset(task.name, "stored"),
    }
    if task.target in outputs:
        inputs["target"] = task.target
    private = {f"{RESULTS_OF}{each.name}": f"{each.address}.results" for each in experiments}
    present = {name: results for name, results in private.items() if results in outputs}
    inputs |= {name: name for name in present}
    collect_kinds = bind_arguments(nodes.collect, kinds=task.results, target_name=task.target)
    gather = node_of(collect_kinds, inputs, [task_dataset(task.name, "results")], f"collect_{task.name}")
    further = [as_node(step, stored_as=stored_as(task)) for step in task.further]
    return Pipeline(
        in_box(Pipeline([gather, *further]), task.name if present else "reporting"), inputs=present
    )


def show(task: Task) -> Pipeline:
    """The results of a task -> leaderboard, summary -> its part of the page."""
    return Pipeline(
        [
            as_node(task.rank, f"rank_{task.name}", stored_as(task)),
            as_node(task.page, f"gather_{task.name}", stored_as(task)),
        ]
    )


def stored_as(task: Task) -> Callable[[str], str]:
    """The data set of a task for a name that its steps use."""
    return lambda name: task_dataset(task.name, name) if name in TASK_DATASETS else name
