"""MLflow in a thread beside the run: neither making a database nor a server that does not answer holds it up.

Only what mlflow-skinny has is used: `MlflowClient` with the ids of runs, and no active run, which MLflow
would call FINISHED at exit whatever has happened.
"""

import functools
import importlib.metadata
import logging
import os
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fieldcast import tracking

logger = logging.getLogger(__name__)

PARENT = ""  # the name of the parent run among the addresses of experiments
BATCH = 100  # what MLflow takes of parameters and tags in one request; ten times as many metrics
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
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
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
