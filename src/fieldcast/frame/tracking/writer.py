"""A thread that writes to MLflow, so that neither a new database nor a server that hangs delays the run.

It needs mlflow-skinny only, and calls `MlflowClient` with the ids of runs: MLflow would mark an "active run" as
FINISHED at exit, whatever has happened.
"""

import contextlib
import functools
import importlib
import importlib.metadata
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fieldcast.frame.tracking import metadata

logger = logging.getLogger(__name__)

PARENT = ""  # the name of the parent run among the addresses of experiments
BATCH = 100  # parameters or tags that MLflow accepts in one request; it accepts ten times as many metrics
MAX_FAILURES = 3  # in a row, after which nothing more is sent
ENDING_SHARE = 0.25  # of the time limit at the end, reserved for ending the runs
MAX_LISTED = 10  # contents that a warning names
# what each action records, as warnings call it
CONTENT = {"begin": "parameters", "tag": "tags", "scores": "scores", "history": "losses", "watch": "versions"}


class Writer(threading.Thread):
    """Writes MLflow runs, each by its name (PARENT, or an experiment's address), in the order of submission.

    After three failures in a row, or one while opening, it drops everything that follows. A failure while opening is
    logged at once, anything else that was not recorded when the writer is closed. If the server is too slow, the last
    contents are lost, but the runs are still ended.
    """

    def __init__(self, uri: str, experiment: str, artifacts: str | None) -> None:
        """uri: of the tracking server or database; experiment: MLflow's; artifacts: the folder of a new experiment."""
        super().__init__(daemon=True, name="tracking")
        if uri.startswith("http"):
            # MLflow imports IPython with its first request; matplotlib, drawing meanwhile, would meet half a module
            with contextlib.suppress(ImportError):
                importlib.import_module("IPython")
        self._uri, self._experiment, self._artifacts = uri, experiment, artifacts
        self._actions: queue.Queue[tuple[str, Callable[[], None]] | None] = queue.Queue()
        self._current = ""  # the content being written
        self._lost: list[str] = []  # contents that failed or were dropped
        self._first_error = ""
        self._is_closing = False  # drop everything that waits
        self._ids: dict[str, str] = {}
        self._final_status: dict[str, str] = {}  # of runs that are still to be ended
        self._steps: dict[str, float] = {}  # the last step of each history
        self._failures, self._is_open = 0, False
        self._monitor: Any = None
        self._process = os.getpid()

    def submit(self, action: Callable[..., None], *args: Any) -> None:
        """Queue an action of this writer; a forked process queues nothing, because its parent does."""
        if os.getpid() == self._process:
            self._actions.put((_content(action.__name__, *args), functools.partial(action, *args)))

    def end(self, name: str, status: str) -> None:
        """Queue the end of a run as FINISHED, FAILED or KILLED; `close` ends those that are still waiting."""
        self._final_status[name] = status
        self.submit(self._finish, name, status)

    def close(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until everything is written, the last quarter of them for ending the runs."""
        if os.getpid() != self._process:
            return
        begin = time.monotonic()
        self._actions.put(None)
        self.join(timeout * (1 - ENDING_SHARE))
        is_late, missing = self.is_alive(), self._unwritten()
        self._is_closing = True
        left_open = self._end_all(timeout * ENDING_SHARE)
        is_known = not is_late and not self._is_open  # the warning of a failed opening has said so
        if (missing or left_open) and not is_known:
            late = f"was not done after {time.monotonic() - begin:.0f} seconds and " if is_late else ""
            logger.warning("tracking at %s %s%s.", self._uri, late, self._report(missing, left_open))

    def _report(self, missing: list[str], left_open: int) -> str:
        parts = [f"has not recorded {shortened(missing)}" if missing else "has recorded all"]
        if left_open:
            parts.append(f"{left_open} of its runs may stay RUNNING until the next run from here ends them")
        else:
            parts.append("its runs have been ended" if PARENT in self._ids else "no run has begun there")
        if self._first_error:
            parts.append(f"the first error: {self._first_error}")
        return "; ".join(parts)

    def _unwritten(self) -> list[str]:
        """List the contents that were lost, that are being written, and that wait."""
        waiting = [entry[0] for entry in list(self._actions.queue) if entry]
        return [content for content in dict.fromkeys([*self._lost, self._current, *waiting]) if content]

    def _end_all(self, timeout: float) -> int:
        """End the runs that are still open, all at the same time: one of the answers may never be complete.

        Returns how many may have stayed open.
        """
        until = time.monotonic() + timeout
        threads = [
            threading.Thread(target=self._end_now, args=(name, status), daemon=True)
            for name, status in list(self._final_status.items())
            if name in self._ids
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return sum(name in self._ids for name in list(self._final_status))

    def _end_now(self, name: str, status: str) -> None:
        with contextlib.suppress(Exception):  # the caller counts the runs that are left
            self._client.set_terminated(self._ids[name], status)
            self._final_status.pop(name, None)

    def run(self) -> None:
        """Open the connection, then do each action in turn (the body of the thread)."""
        self._is_open = self._succeeds(self._open)
        if not self._is_open and not self._is_closing:
            logger.warning(
                "tracking at %s failed, the run goes on without it: %s", self._uri, self._first_error
            )
        while (entry := self._actions.get()) is not None:
            self._current, action = entry
            goes_on = self._is_open and self._failures < MAX_FAILURES and not self._is_closing
            if not (goes_on and self._succeeds(action)):
                self._lost.append(self._current)
            self._current = ""

    def _succeeds(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:
            self._failures += 1
            self._first_error = self._first_error or _in_one_line(error)
            return False
        self._failures = 0
        return True

    def _open(self) -> None:
        os.environ.setdefault(
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"
        )  # so that a server that is down costs little time
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault(
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"
        )  # printing costs another request
        from mlflow import MlflowClient

        self._client = MlflowClient(self._uri)
        experiment = self._client.get_experiment_by_name(self._experiment)
        self._folder = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(self._experiment, self._artifacts)
        )
        for run in self._client.search_runs([self._folder], "attributes.status = 'RUNNING'"):
            host, _, process = run.data.tags.get("process", "").partition(":")
            if host == socket.gethostname() and not metadata.alive(int(process)):
                self._client.set_terminated(run.info.run_id, "KILLED")  # it died before it could end its run

    def begin(self, name: str, title: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Begin a run, the parent or one of its children."""
        from mlflow.entities import Param

        parent = {} if name == PARENT else {"mlflow.parentRunId": self._ids[PARENT]}
        tags = {**tags, **parent, "process": f"{socket.gethostname()}:{self._process}"}
        self._ids[name] = self._client.create_run(self._folder, tags=tags, run_name=title).info.run_id
        params = [Param(key, value[:6000]) for key, value in parameters.items()]
        for first in range(0, len(params), BATCH):
            self._client.log_batch(self._ids[name], params=params[first : first + BATCH])

    def watch(self, project: Path) -> None:
        """Record commit and packages on the parent, and from now on the load of processor, memory and GPU."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self.tag(PARENT, metadata.commit(project))
        packages = sorted(
            {f"{package.name}=={package.version}" for package in importlib.metadata.distributions()},
            key=str.lower,
        )
        self._client.log_text(self._ids[PARENT], "\n".join(packages), "packages.txt")
        self._monitor = SystemMetricsMonitor(self._ids[PARENT], sampling_interval=5, tracking_uri=self._uri)
        self._monitor.start()

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        from mlflow.entities import RunTag

        self._client.log_batch(
            self._ids[name], tags=[RunTag(key, value[:5000]) for key, value in tags.items()]
        )

    def scores(self, name: str, data: Any, now: int) -> None:
        """Record a table of scores as metrics with one value each."""
        self._metrics(name, metadata.scores(data, now))

    def history(self, name: str, data: Any, now: int) -> None:
        """Record the rows of a training's history that are new."""
        values, self._steps[name] = metadata.history(data, self._steps.get(name, float("-inf")), now)
        self._metrics(name, values)

    def _metrics(self, name: str, values: list[metadata.Value]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(*value) for value in values]
        for first in range(0, len(metrics), 10 * BATCH):
            self._client.log_batch(self._ids[name], metrics=metrics[first : first + 10 * BATCH])

    def artifact(self, name: str, path: Path) -> None:
        """Store a copy of a file or of a folder."""
        if path.is_dir():
            self._client.log_artifacts(self._ids[name], str(path), path.name)
        elif path.exists():
            self._client.log_artifact(self._ids[name], str(path))

    def _finish(self, name: str, status: str) -> None:
        if name == PARENT and self._monitor:
            self._monitor.finish()
        self._client.set_terminated(self._ids[name], status)
        self._final_status.pop(name, None)


def _content(action: str, *args: Any) -> str:
    """Name what an action records, an artifact by its file; empty for an action that ends a run."""
    content = "/".join(args[1].parts[-2:]) if action == "artifact" else CONTENT.get(action, "")
    of_experiment = content and action != "watch" and args[0] != PARENT
    return f"{content} of {args[0]}" if of_experiment else content


def shortened(contents: list[str]) -> str:
    """Join the first contents of a list, and say how many more there are."""
    more = len(contents) - MAX_LISTED
    return ", ".join(contents[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
