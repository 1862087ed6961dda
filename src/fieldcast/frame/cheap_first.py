"""Kedro's sequential runner, which scores cheap experiments before it trains others."""

import heapq
import logging
from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import SequentialRunner

from fieldcast.frame.durations import children, plan, stored_durations
from fieldcast.pipelines.names import address_of

LOG = logging.getLogger(__name__)

FAMILY_RANK = {"classical": 0, "bound": 1}  # by family, a tag of nodes; lower ranks run first
LEARNED_RANK, SHARED_RANK = 2, 3  # ranks of other experiments, and of nodes without one, such as reporting


class CheapFirst(SequentialRunner):
    """Runs each experiment to its scores, classical ones first, so that there is something to look at early on."""

    @property
    def _logger(self) -> logging.Logger:
        return logging.getLogger("kedro.runner.sequential_runner")  # which `logging.yml` keeps quiet

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: Any = None,
        run_id: str | None = None,
    ) -> None:
        if len(pipeline.nodes) > 1:
            LOG.info("%s", plan(pipeline, stored_durations(catalog)))
        announce(pipeline, hook_manager)
        super()._run(CheapFirstPipeline(pipeline), catalog, hook_manager, run_id)


def announce(pipeline: Pipeline, hook_manager: Any) -> None:
    """Pass the nodes that will run to hooks; Kedro's `before_pipeline_run` precedes the selection of
    `--only-missing-outputs`."""
    if hasattr(hook_manager, "hook") and hasattr(hook_manager.hook, "before_nodes_run"):
        hook_manager.hook.before_nodes_run(pipeline=pipeline)


class CheapFirstPipeline(Pipeline):
    """A pipeline whose nodes are listed experiment by experiment, classical ones first."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._ordered = cheap_first(pipeline)  # first: Kedro reads the nodes in its constructor
        super().__init__(pipeline)

    @property
    def nodes(self) -> list[Node]:
        """The nodes, each after those whose outputs it reads."""
        return list(self._ordered)


def cheap_first(pipeline: Pipeline) -> list[Node]:
    """Nodes in topological order, experiment by experiment; a shared node runs when the first experiment needs it."""
    parents, readers = pipeline.node_dependencies, children(pipeline)
    listed = pipeline.nodes
    urgency: dict[Node, tuple[int, str]] = {}
    for node in reversed(listed):
        urgency[node] = min([rank(node), *(urgency[child] for child in readers[node])])
    key = {node: (*urgency[node], index) for index, node in enumerate(listed)}
    missing_parents = {node: len(node_parents) for node, node_parents in parents.items()}
    ready = [(key[node], node) for node in listed if not missing_parents[node]]
    heapq.heapify(ready)
    order = []
    while ready:
        _, node = heapq.heappop(ready)
        order.append(node)
        for child in readers[node]:
            missing_parents[child] -= 1
            if not missing_parents[child]:
                heapq.heappush(ready, (key[child], child))
    return order


def rank(node: Node) -> tuple[int, str]:
    """Rank of a node by itself: that of its family, then its experiment."""
    address = address_of(node.namespace)
    if not address:
        return SHARED_RANK, ""
    family = min((FAMILY_RANK[tag] for tag in node.tags if tag in FAMILY_RANK), default=LEARNED_RANK)
    return family, address
