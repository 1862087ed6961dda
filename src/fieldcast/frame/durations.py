"""Durations of nodes when they last ran: the estimate of a run, and the longest path through its graph."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from statistics import fmean

from kedro.io import CatalogProtocol
from kedro.io.core import DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from fieldcast import runtime
from fieldcast.errors import counted
from fieldcast.pipelines.names import address_of

DURATIONS = "durations"  # data set with the duration of the last run of each node


def stored_durations(catalog: CatalogProtocol) -> dict[str, float]:
    """Seconds that each node took when it last ran in this data root; empty before the first run."""
    if DURATIONS not in catalog or not catalog.exists(DURATIONS):
        return {}
    try:
        table = catalog.load(DURATIONS)
        return {
            str(name): float(seconds) for name, seconds in zip(table["node"], table["seconds"], strict=True)
        }
    except (DatasetError, KeyError, ValueError):  # a run must not fail for an estimate
        return {}


def store_durations(catalog: CatalogProtocol, seconds: Mapping[str, float]) -> None:
    """Store the seconds of these nodes beside those of nodes that ran earlier."""
    if DURATIONS not in catalog or not seconds:
        return
    import pandas as pd  # imported here: takes half a second, which only runs should spend

    durations = stored_durations(catalog) | dict(seconds)
    with suppress(DatasetError, OSError):  # nothing that a run should fail for
        catalog.save(DURATIONS, pd.DataFrame(sorted(durations.items()), columns=["node", "seconds"]).round(2))


def children(pipeline: Pipeline) -> dict[Node, list[Node]]:
    """Nodes that read an output of each node."""
    readers: dict[Node, list[Node]] = {node: [] for node in pipeline.nodes}
    for node, parents in pipeline.node_dependencies.items():
        for parent in parents:
            readers[parent].append(node)
    return readers


def longest_paths(pipeline: Pipeline, durations: Mapping[str, float]) -> dict[Node, float]:
    """Duration of the longest path from each node to the end of the pipeline, the node included.

    A node that has not been timed counts as much as the mean of the others; if none has, every node counts 1.
    """
    seconds = [durations[node.name] for node in pipeline.nodes if node.name in durations]
    typical = fmean(seconds) if seconds else 1.0
    readers, paths = children(pipeline), dict[Node, float]()
    for node in reversed(pipeline.nodes):
        rest = max((paths[child] for child in readers[node]), default=0.0)
        paths[node] = durations.get(node.name, typical) + rest
    return paths


def plan(pipeline: Pipeline, durations: Mapping[str, float], at_once: int = 1) -> str:
    """The number of nodes and experiments, and the time that they took when they last ran, in a sentence.

    With several nodes at once a run takes at least as long as their sum divided by that number, and at least as long
    as the longest path.
    """
    experiments = {address_of(node.namespace) for node in pipeline.nodes} - {""}
    tasks = Counter(address.partition(".")[0] for address in experiments)
    counts = [f"{counted(count, 'experiment')} of {task}" for task, count in sorted(tasks.items())]
    side_by_side = [f"{at_once} nodes at a time"] if at_once > 1 else []
    content = ", ".join([counted(len(pipeline.nodes), "node"), *counts, *side_by_side])
    times = [durations[node.name] for node in pipeline.nodes if node.name in durations]
    if not times:
        return f"{content}; nodes are timed, and the next run will show an estimate"
    new = len(pipeline.nodes) - len(times)
    timed = {node.name: durations.get(node.name, 0.0) for node in pipeline.nodes}
    seconds = max(sum(times) / at_once, *longest_paths(pipeline, timed).values())
    estimate = runtime.duration(seconds)
    if new:
        untimed = counted(new, "node that has", "nodes that have")
        return (
            f"{content}; at least {estimate} according to earlier runs, not counting {untimed} not been timed"
        )
    return f"{content}; about {estimate} according to earlier runs"
