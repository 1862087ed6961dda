"""A runner of several nodes at a time, each in a process of its own, which records a run as one process does."""

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from itertools import chain
from types import TracebackType
from typing import Any

from kedro.framework.hooks.manager import _create_hook_manager, _NullPluginManager
from kedro.framework.project import LOGGING
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner.runner import AbstractRunner

from fieldcast import runtime
from fieldcast.errors import InputError
from fieldcast.frame import console
from fieldcast.frame.cheap_first import CheapFirst, announce, cheap_first
from fieldcast.frame.durations import longest_paths, plan, stored_durations
from fieldcast.frame.pickled import pickled
from fieldcast.frame.worker import Setting, Worker
from fieldcast.runtime import start_server

LOG = logging.getLogger(__name__)


class SideBySide(AbstractRunner):
    """Runs as many nodes at a time as there are cores, each with an equal share of the cores as threads.

    The result of a node is bit for bit that of a run of one process with that number of threads. Hooks are called
    in the run's process, by one thread for each node, with tables and with the attributes of other data; those with
    `acts_on_data = True` are called in the process of the node, with the data. With one core, or a graph that is one
    path, `CheapFirst` runs.
    """

    min_nodes = 2  # nodes at a time that are worth processes of their own

    def __init__(self, max_workers: int | None = None, is_async: bool = False) -> None:
        """Create a runner of `max_workers` nodes at a time, by default as many as there are cores; Kedro passes
        `is_async`."""
        super().__init__(is_async=is_async)
        self._max_workers = self._validate_max_workers(max_workers or cores())
        if self._max_workers >= self.min_nodes:
            self._prepare()

    def _prepare(self) -> None:
        """Begin to import while this process loads configuration and pipelines."""
        start_server()

    def _start(self, setting: bytes) -> Worker:
        """Start a process for one node at a time, from a pickled Setting."""
        return Worker(setting)

    def _threads(self, at_once: int) -> int:
        """Threads of the numerical libraries in each process."""
        return max(1, cores() // at_once)

    @property
    def _logger(self) -> logging.Logger:
        return logging.getLogger("kedro.runner")  # which `logging.yml` keeps quiet

    def _get_executor(self, max_workers: int) -> Executor | None:
        return None  # for the loop of the base class, which `_run` replaces

    def _get_required_workers_count(self, pipeline: Pipeline) -> int:
        """Limit the nodes at a time to the number of workers, and to the number that the layers of the graph allow."""
        return min(self._max_workers, len(pipeline.nodes) - len(pipeline.grouped_nodes) + 1)

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: Any = None,
        run_id: str | None = None,
    ) -> None:
        at_once = self._get_required_workers_count(pipeline)
        if at_once < self.min_nodes:
            return CheapFirst()._run(pipeline, catalog, hook_manager, run_id)
        durations = stored_durations(catalog)
        LOG.info("%s", plan(pipeline, durations, at_once))
        announce(pipeline, hook_manager)
        schedule = NodeOrder(pipeline, durations)
        reads = Counter(chain.from_iterable(node.inputs for node in pipeline.nodes))
        running: dict[Future[None], Node] = {}
        # on leaving, workers are killed first, which ends the threads that listen to them
        with (
            ThreadPoolExecutor(at_once) as threads,
            Workers(pipeline, catalog, hook_manager, run_id, self._threads(at_once), self._start) as workers,
        ):
            while True:
                for node in schedule.begin(at_once - len(running)):
                    running[threads.submit(workers.run, node)] = node
                if not running:
                    return None
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    node = running.pop(future)
                    future.result()
                    schedule.end(node)
                    self._release_datasets(node, catalog, reads, pipeline)


class NodeOrder:
    """The order in which nodes begin.

    One of the nodes that run at a time is always on the longest path of all that could run, by the durations of
    earlier runs if there are any, else by the number of nodes on it; the others are the first ones by `cheap_first`.
    """

    def __init__(self, pipeline: Pipeline, durations: Mapping[str, float]) -> None:
        self._parents = pipeline.node_dependencies
        self._position = {node: position for position, node in enumerate(cheap_first(pipeline))}
        self._path = longest_paths(pipeline, durations)
        self._waiting, self._done = set(self._position), set[Node]()
        self._leader: Node | None = None  # the running node of the longest path

    def begin(self, count: int) -> list[Node]:
        """Take at most `count` nodes that can begin now."""
        nodes: list[Node] = []
        while len(nodes) < count:
            ready = [node for node in self._waiting if self._parents[node] <= self._done]
            if not ready:
                break
            node = min(ready, key=self._position.__getitem__)
            if self._leader is None:
                node = self._leader = min(
                    ready, key=lambda candidate: (-self._path[candidate], self._position[candidate])
                )
            self._waiting.remove(node)
            nodes.append(node)
        return nodes

    def end(self, node: Node) -> None:
        """Note that a node has ended."""
        self._done.add(node)
        if node == self._leader:
            self._leader = None


class Workers:
    """The processes of one run, started when they are needed and killed at its end.

    Parameters
    ----------
    pipeline
        The nodes of the run.
    catalog
        Catalog of this process, which holds the data in memory.
    hook_manager
        Passes events of the nodes on to hooks.
    run_id
        Identifier of the run, for hooks.
    threads
        Threads of the numerical libraries in each process.
    start
        Starts a process, from a pickled Setting.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: Any,
        run_id: str | None,
        threads: int,
        start: Callable[[bytes], Worker],
    ) -> None:
        self._catalog, self._start_worker = catalog, start
        self._hooks = _create_hook_manager() if isinstance(hook_manager, _NullPluginManager) else hook_manager
        self._acting = [hook for hook in self._hooks.get_plugins() if getattr(hook, "acts_on_data", False)]
        self._common = {"catalog": catalog, "is_async": False, "run_id": run_id}
        setting = Setting(
            catalog, self._acting, run_id, dict(LOGGING.data), dict(os.environ), threads, console.INTERVAL
        )
        self._setting = pickled(setting, "the catalog")  # now: later the catalog holds data in memory
        for node in pipeline.nodes:
            pickled(node, node.name)
        self._idle: list[Worker] = []
        self._all: list[Worker] = []
        self._is_closed = False
        self._lock = threading.RLock()  # hooks are not called at the same time

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_closed = True
            for worker in self._all:
                worker.stop()

    def run(self, node: Node) -> None:
        """Run a node in an idle process, or in a new one; raises its error."""
        try:
            worker = self._idle.pop()
        except IndexError:  # not checked before: several threads take from it
            worker = self._start()
        inputs = {name: self._catalog.load(name) for name in node.inputs if self._is_in_memory(name)}
        outputs = [name for name in node.outputs if self._is_in_memory(name)]
        read: dict[str, Any] = {}  # the inputs of the events for hooks

        def listen(event: str, arguments: Mapping[str, Any]) -> None:
            read.update(arguments.get("inputs", {}))
            self._listen(node, event, arguments)

        try:
            data = worker.run(node, inputs, outputs, listen)
        except Exception as error:
            self._call("on_node_error", node=node, error=error, inputs=read)
            raise
        finally:
            runtime.relay("")
        for name, value in data.items():
            self._catalog.save(name, value)
        self._call("after_node_ended", node=node)
        self._idle.append(worker)

    def _start(self) -> Worker:
        with self._lock:
            if self._is_closed:
                raise InputError("the run has ended.")
            self._all.append(self._start_worker(self._setting))
            return self._all[-1]

    def _is_in_memory(self, name: str) -> bool:
        is_parameter = name == "parameters" or name.startswith("params:")  # every process has them
        return not is_parameter and bool(getattr(self._catalog.get(name), "_EPHEMERAL", False))

    def _listen(self, node: Node, event: str, arguments: Mapping[str, Any]) -> None:
        if event == "progress":
            runtime.relay(**arguments)
        else:
            self._call(event, node=node, **arguments)

    def _call(self, event: str, **arguments: Any) -> None:
        """Call the hooks of this process for an event, unless the run has ended."""
        with self._lock:
            if not self._is_closed and hasattr(self._hooks.hook, event):
                self._hooks.subset_hook_caller(event, self._acting)(**self._common, **arguments)


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
