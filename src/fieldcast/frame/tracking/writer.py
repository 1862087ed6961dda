"""A thread that writes to MLflow, so that neither a new database nor a server that hangs delays the run.

It calls `MlflowClient` with the ids of runs: MLflow would mark an "active run" as FINISHED at exit, whatever has
happened.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import logging
import os
import socket
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldcast.errors import InputError
from fieldcast.frame.tracking import metadata, metrics
from fieldcast.frame.tracking.background import Background, shorten
from fieldcast.frame.tracking.logged_checkpoint import LoggedCheckpoint
from fieldcast.frame.tracking.logged_models import LoggedModels

if TYPE_CHECKING:
    import pandas as pd

    from fieldcast.scores.headline import Headline

LOG = logging.getLogger(__name__)

# tag of the collection of runs, by which MLflow shows runs and models instead of traces
KIND = {"mlflow.experimentKind": "custom_model_development"}
PARENT = ""  # the name of the parent run among the addresses of experiments
BATCH = 100  # parameters or tags that MLflow accepts in one request; it accepts ten times as many metrics
ENDING_SHARE = 0.25  # share of the time limit that is reserved for ending the runs
# content that each action records, as warnings call it
CONTENT = {
    "begin": "parameters",
    "tag": "tags",
    "scores": "scores",
    "history": "losses",
    "record_environment": "versions",
    "read": "data",
    "durations": "durations",
    "monitor": "load",
    "describe": "description",
    "result": "checkpoint and output",
    "register": "registered models",
}
RUN_ACTIONS = ("record_environment", "describe", "register")  # actions on the parent run alone
# memory for loading a checkpoint while the next node runs, in sizes of the checkpoint
LOADING_MEMORY = 6
FILE_ACTIONS = ("artifact", "model")  # actions that record a file


class Writer(Background):
    """Writes MLflow runs, each by its name (PARENT, or an experiment's address), in the order of submission.

    After three failures in a row, or one while opening, it drops everything that follows. A failure while opening is
    logged at once, anything else that was not recorded when the writer is closed. If the server is too slow, the last
    contents are lost, but the runs are still ended.
    """

    def __init__(self, uri: str, experiment: str, artifacts: str | None, register: bool = False) -> None:
        """uri: the address of the tracking server or database; experiment: the name of MLflow's experiment;
        artifacts: the folder of its files if it is new; register: whether models are registered."""
        super().__init__("tracking")
        if uri.startswith("http"):
            # MLflow imports IPython with its first request; matplotlib, drawing meanwhile, would meet half a module
            with contextlib.suppress(ImportError):
                importlib.import_module("IPython")
        self._uri, self._experiment, self._artifacts, self._register = uri, experiment, artifacts, register
        self._ids: dict[str, str] = {}
        self._ends: dict[str, tuple[str, int]] = {}  # status and time of runs that are still to be ended
        self._steps: dict[str, float] = {}  # the last step of each history
        self._origin: dict[str, str] = {}  # tags of all runs: who ran which version of the code
        self._monitors: dict[str, Any] = {}  # monitors of the load of the machine, by run

    def content(self, action: str, *args: Any) -> str:
        """Name what an action records, an artifact by its file; empty for an action that ends a run."""
        content = "/".join(args[1].parts[-2:]) if action in FILE_ACTIONS else CONTENT.get(action, "")
        of_experiment = content and action not in RUN_ACTIONS and args[0] != PARENT
        return f"{content} of {args[0]}" if of_experiment else content

    def end(self, name: str, status: str) -> None:
        """Queue the end of a run, now, as FINISHED, FAILED or KILLED; `close` ends those that are still waiting."""
        self._ends[name] = status, milliseconds()
        self.submit(self._finish, name)

    def close(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until everything is written, the last quarter of them for ending the runs."""
        if not self.is_ours:
            return
        begin = time.monotonic()
        self.drain(timeout * (1 - ENDING_SHARE))
        is_late, missing = self.is_alive(), self.unwritten()
        self.drop()
        left_open = self._end_all(timeout * ENDING_SHARE)
        is_known = not is_late and not self.is_open  # a failed opening has been reported
        if (missing or left_open) and not is_known:
            late = f"had not finished after {time.monotonic() - begin:.0f} seconds and " if is_late else ""
            LOG.warning("tracking at %s %s%s.", self._uri, late, self._report(missing, left_open))

    def _report(self, missing: list[str], left_open: int) -> str:
        clauses = [f"has not recorded {shorten(missing)}" if missing else "has recorded all"]
        if left_open:
            clauses.append(f"{left_open} of its runs may stay RUNNING until the next run from here ends them")
        else:
            clauses.append("its runs have been ended" if PARENT in self._ids else "no run has begun there")
        if self.first_error:
            clauses.append(f"the first error: {self.first_error}")
        return "; ".join(clauses)

    def _end_all(self, timeout: float) -> int:
        """End the runs that are still open, all at the same time: one of the answers may never be complete.

        Returns how many may have stayed open.
        """
        until = time.monotonic() + timeout
        threads = [
            threading.Thread(target=self._end_now, args=(name,), daemon=True)
            for name in list(self._ends)
            if name in self._ids
        ]
        for thread in threads:
            # Python 3.12.0 and 3.12.1 start no thread while they shut down
            with contextlib.suppress(RuntimeError):
                thread.start()
        for thread in (thread for thread in threads if thread.ident is not None):
            thread.join(max(0.0, until - time.monotonic()))
        return sum(name in self._ids for name in list(self._ends))

    def _end_now(self, name: str) -> None:
        with contextlib.suppress(Exception):  # the caller counts the runs that are left
            self._terminate(name)

    def _terminate(self, name: str) -> None:
        self._client.set_terminated(self._ids[name], *self._ends[name])
        self._ends.pop(name, None)

    def refuse(self) -> None:
        """Warn once that nothing is recorded."""
        LOG.warning("tracking at %s failed; the run continues without it: %s", self._uri, self.first_error)

    def open(self) -> None:
        """Connect, make MLflow's experiment where it is missing, and end runs whose process has died."""
        # a server that is down costs little time
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # another request
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(
            logging.ERROR
        )  # it may have been imported before, at the level INFO
        self._client = MlflowClient(self._uri)
        experiment = self._client.get_experiment_by_name(self._experiment)
        self._folder = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(self._experiment, self._artifacts, KIND)
        )
        self._models = LoggedModels(self._client, self._folder, self._ids)
        if experiment and self._artifacts and experiment.artifact_location != self._artifacts:
            LOG.warning(
                "the tracking database %s was created in another folder: files are still written to %s; to keep them "
                "here, move the database away, and a new one is created.", self._uri, experiment.artifact_location,
            )  # fmt: skip
        for run in self._client.search_runs([self._folder], "attributes.status = 'RUNNING'"):
            host, _, process = run.data.tags.get("process", "").partition(":")
            if host == socket.gethostname() and not metadata.alive(int(process)):
                self._client.set_terminated(run.info.run_id, "KILLED")  # it died before it could end its run

    def begin(
        self, name: str, title: str, parameters: Mapping[str, str], tags: Mapping[str, str], began: int
    ) -> None:
        """Begin a run, the parent or one of its children; `began`: when, in milliseconds since 1970."""
        from mlflow.entities import Param

        parent = {} if name == PARENT else {"mlflow.parentRunId": self._ids[PARENT]}
        tags = {**self._origin, **tags, **parent, "process": f"{socket.gethostname()}:{self._process}"}
        self._ids[name] = self._client.create_run(self._folder, began, tags, title).info.run_id
        params = [Param(key, value[:6000]) for key, value in parameters.items()]
        for first in range(0, len(params), BATCH):
            self._client.log_batch(self._ids[name], params=params[first : first + BATCH])

    def record_environment(self, project: Path, source: Mapping[str, str]) -> None:
        """Record packages and commit on the parent, and from now on the load of the machine.

        Source and commit are tags of the experiments' runs, too.
        """
        self._origin = {**source, **metadata.commit(project)}
        self.tag(PARENT, self._origin)
        packages = sorted(
            {f"{package.name}=={package.version}" for package in importlib.metadata.distributions()},
            key=str.lower,
        )
        self._client.log_text(self._ids[PARENT], "\n".join(packages), "packages.txt")
        self.monitor(PARENT)

    def monitor(self, name: str) -> None:
        """Record the load of processor, memory and GPU on a run from now on."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        if name not in self._monitors:
            monitor = SystemMetricsMonitor(self._ids[name], sampling_interval=5, tracking_uri=self._uri)
            monitor.start()
            self._monitors[name] = monitor

    def stop_monitoring(self, name: str) -> None:
        """Stop recording the load on a run."""
        if monitor := self._monitors.pop(name, None):
            monitor.finish()

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        from mlflow.entities import RunTag

        self._client.log_batch(
            self._ids[name], tags=[RunTag(key, value[:5000]) for key, value in tags.items()]
        )

    def read(
        self, name: str, digest: str, source: str, variables: metadata.Variables = (), context: str = ""
    ) -> None:
        """Record the fields as an input of a run, by their digest, with what they are read for and their variables."""
        import numpy as np
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import DatasetInput, InputTag
        from mlflow.types import Schema, TensorSpec
        from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

        origin = CodeDatasetSource({"source": source})
        specs: list[Any] = [
            TensorSpec(np.dtype(kind), shape, variable) for variable, kind, shape in variables
        ]
        schema = Schema(specs) if specs else None
        fields = MetaDataset(origin, name="fields", digest=digest, schema=schema)  # type: ignore[abstract]
        tags = [InputTag(MLFLOW_DATASET_CONTEXT, context)] if context else []
        self._client.log_inputs(self._ids[name], [DatasetInput(fields._to_mlflow_entity(), tags)])
        self._models.digest = digest

    def scores(self, name: str, table: pd.DataFrame, now: int) -> None:
        """Record a table of scores: curves over leads or fractions observed, and the headline."""
        from fieldcast.tasks import TASKS

        self._models.note_scores(name, table, now)
        headline = TASKS[name.partition(".")[0]].headline(table)
        values = [] if headline is None else [("headline", headline.value, now, 0)]
        self._metrics(name, [*metrics.scores(table, now), *values])

    def history(self, name: str, table: pd.DataFrame, now: int) -> None:
        """Record the rows of a training's history that are new."""
        values, self._steps[name] = metrics.history(table, self._steps.get(name, float("-inf")), now)
        self._metrics(name, values)

    def durations(self, name: str, seconds: Mapping[str, float], now: int) -> None:
        """Record the seconds that the nodes of each stage of an experiment took."""
        self._metrics(name, [(f"node_seconds/{stage}", value, now, 0) for stage, value in seconds.items()])

    def describe(self, title: str, headlines: Mapping[str, Headline], bounds: Collection[str]) -> None:
        """Record the best headline of each task on the parent, and a description with links to the experiments."""
        links = {name: f"#/experiments/{self._folder}/runs/{self._ids[name]}" for name in headlines}
        self.tag(PARENT, {"mlflow.note.content": metadata.note(title, headlines, bounds, links)})
        now, best = milliseconds(), metrics.best(headlines, bounds)
        self._metrics(PARENT, [(f"headline/{task}", headlines[best[task]].value, now, 0) for task in best])
        self._models.rate(headlines)

    def register(self, headlines: Mapping[str, Headline], bounds: Collection[str]) -> None:
        """Register the models of this run, if the configuration requests it; a bound never becomes champion."""
        if self._register:
            self._models.register(headlines, bounds)

    def _metrics(self, name: str, values: list[metrics.Value]) -> None:
        from mlflow.entities import Metric

        entries = [Metric(*value) for value in values]
        for first in range(0, len(entries), 10 * BATCH):
            self._client.log_batch(self._ids[name], metrics=entries[first : first + 10 * BATCH])

    def artifact(self, name: str, path: Path) -> None:
        """Store a copy of a file unless it is empty, or of a folder unless no file is in it."""
        if path.is_dir():
            if not any(file.is_file() for file in path.rglob("*")):
                return
            self._client.log_artifacts(self._ids[name], str(path), path.name)
        elif path.exists() and path.stat().st_size:
            self._client.log_artifact(self._ids[name], str(path))

    def model(self, name: str, path: Path) -> None:
        """Record the tuned values of a finished checkpoint, and log it as a model and as the output of its run.

        The same weights are logged once, and only for tasks with `serving`, whose models work alone. A model is loaded
        to be logged; a checkpoint for which there is not enough memory is recorded as a file.
        """
        from fieldcast.datasets.memory import available
        from fieldcast.tasks import TASKS

        if not path.exists():
            return
        is_served = TASKS[name.partition(".")[0]].serving is not None
        try:
            checkpoint = LoggedCheckpoint.of(name, path)
        except InputError:
            if is_served:
                raise
            return
        self._metrics(name, metrics.tuned(checkpoint.tuned, milliseconds()))
        if not is_served:
            return
        if LOADING_MEMORY * path.stat().st_size > available():
            LOG.info(
                "The checkpoint of %s is recorded as a file: to log it as a model takes more memory.", name
            )
            self.artifact(name, path)
            return
        self._models.log(name, checkpoint)

    def result(self, name: str, path: Path, attributes: Mapping[str, str]) -> None:
        """Record a filled or predicted file: where it is, from which checkpoint, and that checkpoint's logged model."""
        checkpoint = LoggedCheckpoint(attributes.get("experiment", ""), attributes.get("weights", ""), path)
        self.tag(name, {"checkpoint": f"{checkpoint.address} {checkpoint.weights}", "output": str(path)})
        self._models.log_input(name, checkpoint)

    def _finish(self, name: str) -> None:
        self.stop_monitoring(name)
        self._terminate(name)


def milliseconds() -> int:
    """The time as MLflow counts it: milliseconds since 1970."""
    return int(time.time() * 1000)
