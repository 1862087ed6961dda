"""MLflow in a thread beside the run: neither making a database nor a server that does not answer holds it up.

Only what mlflow-skinny has is used: `MlflowClient` with the ids of runs, and no active run, which MLflow
would call FINISHED at exit whatever has happened.
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
BATCH = 100  # what MLflow takes of parameters and tags in one request; ten times as many metrics
FAILURES = 3  # in a row, and the server is given up
ENDING = 0.25  # of the time that is waited at the end: for ending the runs where the rest takes too long
NAMED = 10  # so many things that were not recorded are named
CONTENT = {
    "begin": "parameters", "tag": "tags", "scores": "scores", "history": "losses", "watch": "versions",
}  # fmt: skip  # of what an action records


class Record(threading.Thread):
    """MLflow runs by name (PARENT, or an experiment's address), written in order by this thread.

    After three failures in a row, or one while opening, all that follows is dropped. A failure while opening is said
    at once; what else was not recorded is listed when the record is closed. A server that is too slow loses what is
    last, and not the end of its runs.
    """

    def __init__(self, uri: str, experiment: str, artifacts: str | None) -> None:
        super().__init__(daemon=True, name="tracking")
        if uri.startswith("http"):
            # MLflow imports it with its first request, and a figure that is drawn meanwhile would meet half of it
            with contextlib.suppress(ImportError):
                importlib.import_module("IPython")
        self._uri, self._experiment, self._artifacts = uri, experiment, artifacts
        self._todo: queue.Queue[tuple[str, Callable[[], None]] | None] = queue.Queue()
        self._current = ""  # what is being recorded
        self._lost: list[str] = []  # what has failed or was dropped
        self._first_error = ""
        self._is_closing = False  # what is still to be recorded is dropped
        self._ids: dict[str, str] = {}
        self._final_status: dict[str, str] = {}  # of runs that are to end and have not yet
        self._steps: dict[str, float] = {}  # last step recorded of each history
        self._failures, self._is_open = 0, False
        self._monitor: Any = None
        self._process = os.getpid()

    def tell(self, action: Callable[..., None], *args: Any) -> None:
        """Have something recorded soon; nothing from a forked process, whose parent does it."""
        if os.getpid() == self._process:
            self._todo.put((_content(action.__name__, *args), functools.partial(action, *args)))

    def end(self, name: str, status: str) -> None:
        """Have a run ended as FINISHED, FAILED or KILLED: soon, and at the latest when the record is closed."""
        self._final_status[name] = status
        self.tell(self._finish, name, status)

    def close(self, patience: float) -> None:
        """Wait until all is recorded, at most `patience` seconds, the last quarter of them for ending the runs."""
        if os.getpid() != self._process:
            return
        begin = time.monotonic()
        self._todo.put(None)
        self.join(patience * (1 - ENDING))
        is_late, missing = self.is_alive(), self._missing()
        self._is_closing = True
        left_open = self._end_all(patience * ENDING)
        has_said_all = not is_late and not self._is_open  # when opening failed
        if (missing or left_open) and not has_said_all:
            late = f"was not done after {time.monotonic() - begin:.0f} seconds and " if is_late else ""
            logger.warning("tracking at %s %s%s.", self._uri, late, self._report(missing, left_open))

    def _report(self, missing: list[str], left_open: int) -> str:
        parts = [f"has not recorded {listed(missing)}" if missing else "has recorded all"]
        if left_open:
            parts.append(f"{left_open} of its runs may stay RUNNING until the next run from here ends them")
        else:
            parts.append("its runs have been ended" if PARENT in self._ids else "no run has begun there")
        if self._first_error:
            parts.append(f"the first error: {self._first_error}")
        return "; ".join(parts)

    def _missing(self) -> list[str]:
        """What was lost, what is being recorded, and what waits."""
        waiting = [entry[0] for entry in list(self._todo.queue) if entry]
        return [content for content in dict.fromkeys([*self._lost, self._current, *waiting]) if content]

    def _end_all(self, patience: float) -> int:
        """End the runs that are still open, all at the same time: one answer may never come to its end.

        Returns how many may have stayed open.
        """
        until = time.monotonic() + patience
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
        with contextlib.suppress(Exception):  # counted by what is still to end
            self._client.set_terminated(self._ids[name], status)
            self._final_status.pop(name, None)

    def run(self) -> None:
        """The thread: open, then do as told."""
        self._is_open = self._succeeds(self._open)
        if not self._is_open and not self._is_closing:
            logger.warning(
                "tracking at %s failed, the run goes on without it: %s", self._uri, self._first_error
            )
        while (entry := self._todo.get()) is not None:
            self._current, action = entry
            goes_on = self._is_open and self._failures < FAILURES and not self._is_closing
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
        )  # a server that is down is soon given up
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault(
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"
        )  # it asks for the run once more
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
            if host == socket.gethostname() and not metadata.alive(int(process)):
                self._client.set_terminated(run.info.run_id, "KILLED")  # it died without a word

    def begin(self, name: str, title: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """A run that is RUNNING, the parent or one of its children."""
        from mlflow.entities import Param

        parent = {} if name == PARENT else {"mlflow.parentRunId": self._ids[PARENT]}
        tags = {**tags, **parent, "process": f"{socket.gethostname()}:{self._process}"}
        self._ids[name] = self._client.create_run(self._folder, tags=tags, run_name=title).info.run_id
        params = [Param(key, value[:6000]) for key, value in parameters.items()]
        for first in range(0, len(params), BATCH):
            self._client.log_batch(self._ids[name], params=params[first : first + BATCH])

    def watch(self, project: Path) -> None:
        """On the parent: the commit, all packages, and from now on the load of processor, memory and GPU."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self.tag(PARENT, metadata.commit(project))
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
        self._metrics(name, metadata.scores(data, now))

    def history(self, name: str, data: Any, now: int) -> None:
        """What is new in the history of a training."""
        values, self._steps[name] = metadata.history(data, self._steps.get(name, float("-inf")), now)
        self._metrics(name, values)

    def _metrics(self, name: str, values: list[metadata.Value]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(*value) for value in values]
        for first in range(0, len(metrics), 10 * BATCH):
            self._client.log_batch(self._ids[name], metrics=metrics[first : first + 10 * BATCH])

    def artifact(self, name: str, path: Path) -> None:
        """A copy of a file or of a folder."""
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
    """What an action records, in a word or by the name of its file; nothing of one that ends a run."""
    word = "/".join(args[1].parts[-2:]) if action == "artifact" else CONTENT.get(action, "")
    return f"{word} of {args[0]}" if word and action != "watch" and args[0] != PARENT else word


def listed(things: list[str]) -> str:
    """The first of many things, and how many more there are."""
    more = len(things) - NAMED
    return ", ".join(things[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
