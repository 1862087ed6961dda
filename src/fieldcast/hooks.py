"""Tracking by MLflow: a parent run for each `kedro run`, in it a child run for each experiment.

What is recorded stands in the catalog (`metadata: {mlflow: metrics | history | figure | artifact | data}`).
Everything is told to a thread beside the run, so that neither making a database nor a server that does not
answer holds it up. Only what mlflow-skinny has is used: `MlflowClient` with the ids of runs, and no active
run, which MLflow would call FINISHED at exit whatever has happened.
"""

import atexit
import functools
import importlib.metadata
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from fieldcast import tracking

logger = logging.getLogger(__name__)

PARENT = ""  # the name of the parent run among the addresses of experiments
BATCH = 100  # what MLflow takes of parameters and tags in one request; ten times as many metrics
PATIENCE = 60.0  # seconds that a run waits at its end for what is still to be recorded
LAST_WORDS = 10.0  # the same when it was stopped
FAILURES = 3  # in a row, and the server is given up


class Record(threading.Thread):
    """MLflow runs by name (PARENT, or an experiment's address), written in order by this thread.

    A failure is said once; after three in a row, or one while opening, all that follows is dropped.
    """

    def __init__(self, uri: str, experiment: str, artifacts: str | None) -> None:
        super().__init__(daemon=True, name="tracking")
        self._uri, self._experiment, self._artifacts = uri, experiment, artifacts
        self._todo: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._ids: dict[str, str] = {}
        self._steps: dict[str, float] = {}  # last step recorded of each history
        self._failures, self._warned = 0, False
        self._monitor: Any = None
        self._process = os.getpid()

    def tell(self, action: Callable[..., None], *args: Any) -> None:
        """Have something recorded soon; nothing from a forked process, whose parent does it."""
        if os.getpid() == self._process:
            self._todo.put(functools.partial(action, *args))

    def close(self, patience: float) -> None:
        """Wait until all is recorded, or for `patience` seconds."""
        if os.getpid() == self._process:
            self._todo.put(None)
            self.join(patience)

    def run(self) -> None:
        """The thread: open, then do as told."""
        self._try(self._open, FAILURES)
        while (action := self._todo.get()) is not None:
            if self._failures < FAILURES:
                self._try(action, 1)

    def _try(self, action: Callable[[], None], weight: int) -> None:
        try:
            action()
            self._failures = 0
        except Exception as error:
            self._failures += weight
            if not self._warned:
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                logger.warning("tracking at %s failed, the run goes on without it: %s", self._uri, reason)
            self._warned = True

    def _open(self) -> None:
        os.environ.setdefault(
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"
        )  # a server that is down is soon given up
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient

        self._client = MlflowClient(self._uri)
        found = self._client.get_experiment_by_name(self._experiment)
        self._folder = (
            found.experiment_id
            if found
            else self._client.create_experiment(self._experiment, self._artifacts)
        )
        for run in self._client.search_runs([self._folder], "attributes.status = 'RUNNING'"):
            host, _, process = run.data.tags.get("process", "").partition(":")
            if host == socket.gethostname() and not tracking.alive(int(process)):
                self._client.set_terminated(run.info.run_id, "KILLED")  # it died without a word

    def begin(self, name: str, title: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """A run that is RUNNING, the parent or one of its children."""
        from mlflow.entities import Param

        parent = {} if name == PARENT else {"mlflow.parentRunId": self._ids[PARENT]}
        tags = {**tags, **parent, "process": f"{socket.gethostname()}:{self._process}"}
        self._ids[name] = self._client.create_run(self._folder, tags=tags, run_name=title).info.run_id
        listed = [Param(key, value[:6000]) for key, value in parameters.items()]
        for first in range(0, len(listed), BATCH):
            self._client.log_batch(self._ids[name], params=listed[first : first + BATCH])

    def watch(self, project: Path) -> None:
        """On the parent: the commit, all packages, and from now on the load of processor, memory and GPU."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self.tag(PARENT, tracking.commit(project))
        packages = sorted(
            {f"{one.name}=={one.version}" for one in importlib.metadata.distributions()}, key=str.lower
        )
        self._client.log_text(self._ids[PARENT], "\n".join(packages), "packages.txt")
        self._monitor = SystemMetricsMonitor(self._ids[PARENT], sampling_interval=5, tracking_uri=self._uri)
        self._monitor.start()

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Tags of a run, new or anew."""
        from mlflow.entities import RunTag

        self._client.log_batch(
            self._ids[name], tags=[RunTag(key, value[:5000]) for key, value in tags.items()]
        )

    def scores(self, name: str, data: Any, now: int) -> None:
        """A table of scores, as metrics with one value each."""
        self._metrics(name, tracking.scores(data, now))

    def history(self, name: str, data: Any, now: int) -> None:
        """What is new in the history of a training."""
        values, self._steps[name] = tracking.history(data, self._steps.get(name, float("-inf")), now)
        self._metrics(name, values)

    def _metrics(self, name: str, values: list[tracking.Value]) -> None:
        from mlflow.entities import Metric

        listed = [Metric(*one) for one in values]
        for first in range(0, len(listed), 10 * BATCH):
            self._client.log_batch(self._ids[name], metrics=listed[first : first + 10 * BATCH])

    def artifact(self, name: str, path: Path) -> None:
        """A copy of a file or of a folder."""
        if path.is_dir():
            self._client.log_artifacts(self._ids[name], str(path), path.name)
        elif path.exists():
            self._client.log_artifact(self._ids[name], str(path))

    def finish(self, name: str, status: str) -> None:
        """The end of a run: FINISHED, FAILED or KILLED."""
        if name == PARENT and self._monitor:
            self._monitor.finish()
        self._client.set_terminated(self._ids[name], status)


class Tracking:
    """Tells a Record what happens while pipelines run."""

    def __init__(self) -> None:
        self._record: Record | None = None
        self._context: KedroContext | None = None
        self._parameters: Mapping[str, Any] = {}
        atexit.register(self._stop, "KILLED", LAST_WORDS)  # Ctrl-C and SIGTERM reach no hook of Kedro's

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the configuration is."""
        self._context = context

    @hook_impl
    def after_catalog_created(self, parameters: Mapping[str, Any]) -> None:
        """Remember the parameters as the nodes will see them."""
        self._parameters = parameters.get("parameters", {})

    @hook_impl
    def before_pipeline_run(
        self, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Begin the parent run."""
        self._stop("KILLED", LAST_WORDS)  # an earlier run of this process, if it was interrupted
        project = Path(run_params["project_path"])
        conf = Path(self._context.config_loader.conf_source) if self._context else project / "conf"
        options = tracking.options(conf, run_params.get("env"))
        if not options["tracking"]:
            return
        own = f"sqlite:///{project / 'mlflow.db'}"
        uri = os.environ.get("MLFLOW_TRACKING_URI") or options["uri"] or own
        self._catalog = catalog
        self._owner = {name: node.namespace or PARENT for node in pipeline.nodes for name in node.outputs}
        self._left = Counter(node.namespace for node in pipeline.nodes if node.namespace)
        self._begun, self._open = {PARENT}, {PARENT}
        self._files: set[str] = set()  # data sets to store when their node is done
        self._seen: set[str] = set()  # data sets recorded
        self._data: dict[str, str] = {}  # digest and source of the fields
        self._current = PARENT
        self._record = Record(
            uri, options["experiment"], (project / "mlartifacts").as_uri() if uri == own else None
        )
        self._record.start()
        tasks = {name.partition(".")[0] for name in self._left}
        parameters = tracking.shared(self._parameters, tasks)
        self._record.tell(
            self._record.begin, PARENT, tracking.title(run_params), parameters, tracking.about(run_params)
        )
        self._record.tell(self._record.watch, project)
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        ):
            signal.signal(signal.SIGTERM, _leave)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Begin the child run of an experiment with its first node."""
        if not self._record:
            return
        self._settle()
        self._current = node.namespace or PARENT
        if not node.namespace:
            return
        self._left[node.namespace] -= 1
        self._begin(node.namespace)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Note which data were read."""
        if self._record and self._kind(dataset_name) == "data":
            self._note(data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Record what the catalog says is to be recorded; of a generator's node, at each of its yields."""
        if self._record:
            self._save(dataset_name, data)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """All went well; what other processes have saved is read from the catalog."""
        if not self._record:
            return
        for name in sorted(set(self._owner) - self._seen):
            kind = self._kind(name)
            if kind and self._catalog.exists(name):
                self._save(name, self._catalog.load(name) if kind in ("metrics", "history") else None)
        self._left.clear()
        self._stop("FINISHED", PATIENCE)

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """The run failed, and in it the experiment whose node it was."""
        if self._record:
            reason = {"error": f"{type(error).__name__}: {error}"}
            for name in {PARENT, self._current} & self._open:
                self._record.tell(self._record.tag, name, reason)
            self._left[self._current] = 1  # its last node has not ended well
            self._settle()
            if self._current != PARENT and self._current in self._open:
                self._open.remove(self._current)
                self._record.tell(self._record.finish, self._current, "FAILED")
        self._stop("FAILED", PATIENCE)

    def _kind(self, name: str) -> str | None:
        if name.startswith("params:") or name == "parameters":
            return None
        metadata = getattr(self._catalog.get(name), "metadata", None)
        return metadata.get("mlflow") if isinstance(metadata, Mapping) else None

    def _begin(self, address: str) -> None:
        if self._record and address not in self._begun:
            task, _, name = address.partition(".")
            parameters = dict(tracking.flat(self._parameters.get(task, {}).get(name, {})))
            tags = {"task": task, "experiment": name, **self._data}
            self._record.tell(self._record.begin, address, address, parameters, tags)
            self._begun.add(address)
            self._open.add(address)

    def _save(self, name: str, data: Any) -> None:
        kind, owner, now = self._kind(name), self._owner.get(name, PARENT), int(time.time() * 1000)
        if not self._record or kind is None:
            return
        self._seen.add(name)
        self._begin(owner)
        if kind == "metrics":
            self._record.tell(self._record.scores, owner, data, now)
        elif kind == "history":
            self._record.tell(self._record.history, owner, data, now)
        elif kind == "data":
            self._note(data)
        else:
            self._files.add(name)

    def _note(self, data: Any) -> None:
        """Tag all runs with the digest and the source of the fields."""
        attributes = getattr(data, "attrs", {})
        found = {f"data.{key}": str(attributes[key]) for key in ("digest", "source") if key in attributes}
        if self._record and found and found != self._data:
            self._data = found
            for name in self._open:
                self._record.tell(self._record.tag, name, found)

    def _settle(self) -> None:
        """Store the files of the nodes that are done, and end the experiments whose nodes are all done."""
        if not self._record:
            return
        for name in sorted(self._files):
            dataset = self._catalog.get(name)
            path = getattr(dataset, "_filepath", getattr(dataset, "_path", None))  # Kedro's data sets, ours
            if path is not None:
                self._record.tell(self._record.artifact, self._owner.get(name, PARENT), Path(str(path)))
        self._files.clear()
        for name in sorted(self._open - {PARENT}):
            if not self._left[name]:
                self._open.remove(name)
                self._record.tell(self._record.finish, name, "FINISHED")

    def _stop(self, status: str, patience: float) -> None:
        """End what is open: whole children as FINISHED, others as KILLED, the parent with the status."""
        if not self._record:
            return
        self._left[self._current] += status == "KILLED"  # stopped within a node
        self._settle()
        for name in sorted(self._open - {PARENT}):
            self._record.tell(self._record.finish, name, "KILLED")
        self._record.tell(self._record.finish, PARENT, status)
        self._record.close(patience)
        self._record = None
        if signal.getsignal(signal.SIGTERM) is _leave:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
