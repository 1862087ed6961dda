"""A runner of nodes on a Dask cluster: of this machine, at an address, or of SLURM jobs."""

import logging
import pickle
import queue
import uuid
from collections.abc import Mapping
from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from fieldcast.errors import InputError
from fieldcast.frame import dask_node
from fieldcast.frame.dask_cluster import DaskOptions, connect, dask_options
from fieldcast.frame.side_by_side import SideBySide
from fieldcast.frame.worker import Listener, link_causes
from fieldcast.pipelines.names import TRAINING, stage_of

LOG = logging.getLogger(__name__)


class DaskRunner(SideBySide):
    """Runs nodes as tasks of a Dask cluster, as many at a time as it has workers.

    `conf/<env>/dask.yml` (`DaskOptions`) configures the cluster; without it, the workers are processes of this machine.
    Nodes begin in the order of `SideBySide`, and hooks are called as there: stored and recorded data are the same. A
    node whose worker dies runs again on another one, and resumes. Data sets must be on storage that all workers
    share.
    """

    min_nodes = 1

    def __init__(self, max_workers: int | None = None, is_async: bool = False) -> None:
        """Create a runner of `max_workers` nodes at a time, by default as many as the cluster's workers have threads;
        Kedro passes `is_async`."""
        super().__init__(max_workers, is_async)
        self._requested_workers = max_workers
        self._options = DaskOptions()
        self._channel: Channel | None = None

    def _prepare(self) -> None:
        """Do nothing: the cluster has processes of its own."""

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: Any = None,
        run_id: str | None = None,
    ) -> None:
        self._options = dask_options()
        with connect(self._options, self._requested_workers) as client:
            slots = sum(client.nthreads().values()) or (self._options.workers or 1)
            self._max_workers = min(slots, self._requested_workers or slots)
            self._channel = Channel(client, self._options)
            super()._run(pipeline, catalog, hook_manager, run_id)

    def _start(self, setting: bytes) -> Any:
        """A slot of the cluster, which runs one node at a time."""
        assert self._channel
        return Slot(self._channel, setting)

    def _threads(self, at_once: int) -> int:
        """Threads of the numerical libraries: as configured, else an equal share of this machine's cores."""
        return self._options.threads or super()._threads(at_once)


class Channel:
    """The client of a cluster, and the events that its workers send to the slots of this run."""

    def __init__(self, client: Any, options: DaskOptions) -> None:
        """Create a channel of a `distributed` client; `options` say whether a training takes a GPU."""
        self.client, self.options = client, options
        self.topic = f"fieldcast-{uuid.uuid4()}"
        self.inboxes: dict[str, queue.SimpleQueue[tuple[str, Any]]] = {}
        client.subscribe_topic(self.topic, self._receive)

    def _receive(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Put an event into the inbox of its slot."""
        _, message = event
        if inbox := self.inboxes.get(message["slot"]):
            inbox.put(("event", (message["attempt"], *pickle.loads(message["content"]))))


class Slot:
    """Runs one node at a time on any worker of the cluster; the counterpart of `Worker`."""

    def __init__(self, channel: Channel, setting: bytes) -> None:
        """channel: the channel to the cluster; setting: the pickled Setting of the worker."""
        self._channel, self._setting = channel, setting
        self._name = uuid.uuid4().hex
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._future: Any = None
        channel.inboxes[self._name] = self._inbox

    def run(
        self, node: Node, inputs: Mapping[str, Any], outputs: list[str], listener: Listener
    ) -> dict[str, Any]:
        """Run a node, whose `inputs` in memory are sent; return its `outputs` in memory.

        Raises the error of the node, or InputError if its workers died again and again.
        """
        channel, message = self._channel, pickle.dumps((node, dict(inputs), outputs))
        needs = {"GPU": 1} if channel.options.gpus and stage_of(node.namespace) in TRAINING else None
        self._future = future = channel.client.submit(
            dask_node.run, self._setting, message, channel.topic, self._name,
            key=f"{node.name}-{uuid.uuid4()}", pure=False, resources=needs,
        )  # fmt: skip
        future.add_done_callback(lambda done: self._inbox.put(("done", done.status)))
        attempts: list[str] = []
        while True:
            kind, content = self._inbox.get()
            if kind == "done" and content != "finished":
                raise InputError(lost(node, content))
            if kind == "done":
                continue  # its last event comes after the others
            attempt, event, arguments = content
            if attempt not in attempts:
                attempts.append(attempt)
                if len(attempts) > 1:
                    LOG.warning("The worker that ran %s was lost: the node runs again.", node.name)
            if event == "returned":
                break
            if event != "before_node_run" or len(attempts) == 1:  # for hooks, the node has begun once
                listener(event, arguments)
        outcome, result = pickle.loads(future.result())
        self._future = None
        if outcome == "failed":
            raise link_causes(result)
        data: dict[str, Any] = result
        return data

    def stop(self) -> None:
        """End the node that runs, with its process where the cluster outlives this run."""
        if self._future is None:
            return
        client, key = self._channel.client, self._future.key
        running = [worker for worker, keys in client.processing().items() if key in keys]
        self._future.cancel(force=True, reason="the run has ended")
        if self._channel.options.address and running:
            client.restart_workers(running, raise_for_error=False)
        self._inbox.put(("done", "cancelled"))


def lost(node: Node, status: str) -> str:
    """The error of a node that was not run to its end."""
    if status == "cancelled":
        return f"{node.name} was cancelled: run the same command again to resume."
    return (
        f"the workers that ran {node.name} died again and again, perhaps for lack of memory: run the same command "
        "again to resume; --runner-params max_workers=1 runs one node at a time."
    )
