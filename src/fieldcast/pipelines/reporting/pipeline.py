"""scores of all experiments -> leaderboard, summary; their costs -> one table; everything -> figures, report."""

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.names import keyword, of_task, public
from fieldcast.pipelines.reporting import nodes
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Task

DATA = ["fields", "splits", "climatology", "quality", "parameters"]
OF_TASK = ("results", "leaderboard", "summary", "gathered", "drawn", "figures", "animation")


def create_pipeline(experiments: Sequence[tuple[Task, Sequence[str]]]) -> Pipeline:
    """Rank and show the tasks, each with the names of its experiments; what has not been scored loads as empty."""
    tasks = [task.name for task, _ in experiments]
    page = {name: name for name in DATA}
    page |= {task: of_task(task, "gathered") for task in tasks}
    page |= {f"{task}_figures": of_task(task, "drawn") for task in tasks}
    results = {task: of_task(task, "results") for task in tasks}
    whole = [
        node(nodes.list_costs, results, "costs", name="list_costs"),
        node(nodes.write_page, page, "report", name="write_page"),
    ]
    return Pipeline([*(ranked(task, names) for task, names in experiments), *whole])


def ranked(task: Task, names: Sequence[str]) -> Pipeline:
    """The results of a task's experiments -> leaderboard, summary -> its part of the page."""
    configured = {"experiments": f"params:{task.name}", "studies": "params:studies"}
    parts = {keyword(name, part): public(task.name, name, part) for name in names for part in task.results}

    def stored_as(name: str) -> str:
        if name == task.target:
            return f"{name}_stored"  # which may be missing
        return of_task(task.name, name) if name in OF_TASK else name

    return Pipeline(
        [
            node(
                nodes.collect, configured | parts, of_task(task.name, "results"), name=f"collect_{task.name}"
            ),
            as_node(task.rank, f"rank_{task.name}", stored_as),
            as_node(task.page, f"gather_{task.name}", stored_as),
        ]
    )
