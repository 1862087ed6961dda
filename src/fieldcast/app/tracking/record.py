"""The record of a run in MLflow: a parent, and a child for each experiment, written from what is stored.

A thread of the run's process looks at the data sets that the catalog marks, `mlflow: metrics | history | figure |
artifact | model | result | data`, and records those that are newer than the run. So every runner leaves the same
record: Kedro calls no hook for a node that `ParallelRunner` runs in a spawned process. The thread calls `MlflowClient`
with the ids of runs: MLflow would end an "active run" as FINISHED at exit, whatever has happened.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import math
import os
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from fieldcast.app.tracking import metadata, metrics
from fieldcast.app.tracking.metadata import parameters_in_use
from fieldcast.app.tracking.models import LoggedCheckpoint, LoggedModels
from fieldcast.app.tracking.stored import (
    PARENT,
    Stored,
    contexts,
    leaves,
    marked,
    parameters_read,
    version_of,
    weights_in,
)
from fieldcast.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from fieldcast.scores.headline import Headline

LOG = logging.getLogger(__name__)

TRAINED = "trained"  # tag of an experiment's run: whether its weights are others than before the run
# tag of the collection of runs, by which MLflow shows runs and models instead of traces
KIND = {"mlflow.experimentKind": "custom_model_development"}
BATCH = 100  # parameters or tags that MLflow accepts in one request; it accepts ten times as many metrics
PAUSE = 1.0  # shortest time between two looks [s]; a look takes at most a tenth of the time
ATTEMPTS = 3  # how often a content is sent that the server refuses, and how many in a row end a look
ENDING_SHARE = 0.25  # share of the time limit at the end of a run that is left for ending its runs in MLflow
CLOCK = {
    False: 10**7,
    True: 10**9,
}  # by which files may seem older than they are [ns]: local ones, remote ones
LOADING_MEMORY = 6  # memory for loading a checkpoint while nodes run, in sizes of the checkpoint


class Record(threading.Thread):
    """The thread that records one run.

    Parameters
    ----------
    address
        The tracking server or database.
    options
        `experiment`, the name of MLflow's experiment, and `register`, whether models are registered.
    artifacts
        The folder of files of a new experiment; None leaves it to the server.
    pipeline, catalog, parameters
        The nodes of the run, its catalog, and parameters as the nodes receive them.
    run_params
        Arguments of the run, as Kedro gives them.
    source
        Tags of all of its runs (`metadata.source`).
    credentials
        Options of fsspec for a remote data root.
    """

    def __init__(
        self, address: str, options: Mapping[str, Any], artifacts: str | None, pipeline: Pipeline,
        catalog: CatalogProtocol, parameters: Mapping[str, Any], run_params: Mapping[str, Any],
        source: Mapping[str, str], credentials: Mapping[str, Any],
    ) -> None:  # fmt: skip
        super().__init__(daemon=True, name="tracking")
        self._address, self._options, self._artifacts = address, options, artifacts
        self._parameters, self._run_params, self._credentials = parameters, run_params, credentials
        self._origin = dict(source)
        self._read = parameters_read(pipeline)
        self._contexts = contexts(pipeline)
        self._stored = marked(pipeline, catalog)
        self._leaves = leaves(pipeline, catalog)
        self._title = metadata.title(run_params, parameters)
        self._start = milliseconds()
        # nodes whose outputs exist do not run again: those outputs count as made
        self._begun = 0 if run_params.get("only_missing_outputs") else self._start * 10**6
        self._weights = {each.name: weights_in(each.place) for each in self._stored if each.kind == "model"}

        self._client: Any = None
        self._folder = ""  # identifier of MLflow's experiment
        self._ids: dict[str, str] = {}  # of MLflow's runs, by PARENT or address
        self._ends: dict[str, tuple[str, int]] = {}  # status and time of runs that are to be ended
        self._bounds: set[str] = set()  # experiments that are upper bounds on skill
        self._recorded: dict[str, tuple[int, int]] = {}  # the version of each data set that was recorded
        self._seen: dict[str, tuple[int, int]] = {}  # the version at the last look
        self._steps: dict[str, float] = {}  # the last recorded step of each history
        self._reached: dict[str, float] = {}  # its last step at this look
        self._has_loss: dict[str, bool] = {}
        self._headlines: dict[str, Headline] = {}
        # digest, source, variables of the fields
        self._data: tuple[str, str, metadata.Variables] | None = None
        self._models: Any = None
        self._monitor: Any = None

        self._opened, self._ending = threading.Event(), threading.Event()
        self.is_open = False
        self._status, self._error = "", ""
        self._until = float("inf")  # when recording ends [s]
        self._attempts: Counter[str] = Counter()
        self._in_a_row = 0  # contents that failed one after the other
        self._lost: dict[str, None] = {}  # contents that are not recorded
        self._current = ""  # the content that is being recorded
        self.first_error = ""

    # The thread.

    def run(self) -> None:
        """Open, look at what is stored until the run ends, and end the runs in MLflow."""
        try:
            self._open()
            self.is_open = True
        except Exception as error:
            self.first_error = in_one_line(error)
            LOG.warning(
                "tracking at %s failed; the run continues without it: %s", self._address, self.first_error
            )
            return
        finally:
            self._opened.set()
        self._attempt("packages.txt", self._log_packages)
        pause = PAUSE
        while not self._ending.wait(pause):
            begin = time.monotonic()
            self._look()
            pause = max(PAUSE, 10 * (time.monotonic() - begin))
        self._look()
        self._attempt("description", self._describe)
        if self._options["register"]:
            self._attempt("registered models", self._register)
        self._decide_ends()
        for name in [name for name, (status, _) in self._ends.items() if status]:
            with contextlib.suppress(Exception):  # `end` tries again
                self._terminate(name)
        if self._monitor:
            self._monitor.finish()

    def _open(self) -> None:
        """Connect, find MLflow's experiment, end runs whose process has died, and begin the parent run.

        All imports and first requests are over then: a thread that imports while a runner forks its workers leaves
        them a lock that nobody releases.
        """
        # a server that is down costs little time
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # another request
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        import mlflow
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        import fieldcast.tasks  # noqa: F401

        logging.getLogger("mlflow").setLevel(logging.ERROR)  # it may have been imported before, at INFO
        self._client = mlflow.MlflowClient(self._address)
        self._folder = self._experiment()
        self._models = LoggedModels(self._client, self._folder, self._ids)
        self._end_dead_runs()
        project = Path(self._run_params["project_path"])
        self._origin |= metadata.commit(project)
        self._create(
            PARENT, self._title, parameters_in_use(self._parameters, self._read[PARENT]),
            metadata.versions(), self._start,
        )  # fmt: skip
        self._monitor = SystemMetricsMonitor(
            self._ids[PARENT], sampling_interval=5, tracking_uri=self._address
        )
        self._monitor.start()

    def _log_packages(self) -> None:
        packages = {f"{each.name}=={each.version}" for each in importlib.metadata.distributions()}
        self._client.log_text(self._ids[PARENT], "\n".join(sorted(packages, key=str.lower)), "packages.txt")

    def _experiment(self) -> str:
        """The identifier of MLflow's experiment, which is made where it is missing."""
        name = self._options["experiment"]
        if number := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            experiment = self._client.get_experiment(number)
        else:
            experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            return str(self._client.create_experiment(name, self._artifacts, KIND))
        if experiment.lifecycle_stage == "deleted":
            raise InputError(
                f"MLflow's experiment '{experiment.name}' was deleted: restore it with `mlflow experiments restore "
                f"--experiment-id {experiment.experiment_id}`, or name another with MLFLOW_EXPERIMENT_NAME"
            )
        if self._artifacts and experiment.artifact_location != self._artifacts:
            LOG.warning(
                "the tracking database %s was created in another folder: files are still written to %s; to keep them "
                "here, move the database away, and a new one is created.",
                self._address, experiment.artifact_location,
            )  # fmt: skip
        return str(experiment.experiment_id)

    def _end_dead_runs(self) -> None:
        """End as KILLED the runs of processes of this machine that died before they could."""
        for run in self._client.search_runs([self._folder], "attributes.status = 'RUNNING'"):
            host, _, process = run.data.tags.get("process", "").partition(":")
            if host == socket.gethostname() and not metadata.alive(int(process)):
                self._client.set_terminated(run.info.run_id, "KILLED")

    def _look(self) -> None:
        """Record what is new, with the rows of all tables of a run in one request."""
        self._in_a_row = 0
        rows: dict[str, list[metrics.Value]] = defaultdict(list)
        tables: dict[str, list[tuple[Stored, tuple[int, int]]]] = defaultdict(list)
        for each in self._stored:
            version = self._new_version(each)
            if version is None or not self._has_begun(each.owner, version):
                continue
            is_table = each.kind in ("history", "metrics")
            if self._attempt(
                each.content, *((self._read_rows, each, rows) if is_table else (self._record, each))
            ):
                if is_table:
                    tables[each.owner].append((each, version))
                else:
                    self._recorded[each.name] = version
        for owner, read in tables.items():
            if self._attempt(", ".join(each.content for each, _ in read), self._log, owner, rows[owner]):
                for each, version in read:
                    self._recorded[each.name] = version
                    self._steps[each.name] = self._reached.get(each.name, -math.inf)
        for address in [name for name in self._ids if name != PARENT and name not in self._ends]:
            if not self._ending.is_set() and self._is_complete(address):
                self._end_experiment(address)

    def _new_version(self, each: Stored) -> tuple[int, int] | None:
        """The version of a data set that is to be recorded at this look; None if there is nothing to record."""
        ends = self._ending.is_set()
        if each.kind == "result" and not ends:  # NetCDF is read by one thread at a time
            return None
        if each.kind == "model" and (self._status == "KILLED" or not (ends or self._is_complete(each.owner))):
            return None
        version = version_of(each.place, self._credentials)
        if version is None or version == self._recorded.get(each.name):
            return None
        if each.is_made and not self._is_new(each.place, version):
            return None
        # a file that is still being written, or a folder to which pictures are added, is not sent twice
        is_settled = (
            ends or each.kind in ("history", "metrics", "data") or version == self._seen.get(each.name)
        )
        self._seen[each.name] = version
        return version if is_settled else None

    def _is_new(self, place: str, version: tuple[int, int] | None) -> bool:
        """Whether a version of a file was written in this run."""
        return version is not None and version[0] >= self._begun - CLOCK["://" in place]

    def _is_complete(self, address: str) -> bool:
        """Whether everything is stored that an experiment's nodes write and that no other node reads."""
        places = self._leaves.get(address, [])
        return bool(places) and all(
            self._is_new(place, version_of(place, self._credentials)) for place in places
        )

    def _attempt(self, content: str, action: Callable[..., Any], *arguments: Any) -> bool:
        """Do an action unless it has failed too often, or the time is up; returns whether it is done."""
        may = self._attempts[content] < ATTEMPTS and self._in_a_row < ATTEMPTS
        if may and time.monotonic() < self._until:
            self._current = content
            try:
                action(*arguments)
            except Exception as error:
                self._attempts[content] += 1
                self._in_a_row += 1
                self.first_error = self.first_error or in_one_line(error)
            else:
                self._in_a_row, self._current = 0, ""
                self._lost.pop(content, None)
                return True
        self._lost[content], self._current = None, ""
        return False

    # What is recorded.

    def _create(
        self, name: str, title: str, parameters: Mapping[str, str], tags: Mapping[str, str], began: int
    ) -> None:
        """Begin a run, the parent or one of its children; `began`: when, in milliseconds since 1970."""
        from mlflow.entities import Param

        tags = {**self._origin, **tags, "process": f"{socket.gethostname()}:{os.getpid()}"}
        self._ids[name] = self._client.create_run(self._folder, began, tags, title).info.run_id
        params = [Param(key, value[:6000]) for key, value in parameters.items()]
        for first in range(0, len(params), BATCH):
            self._client.log_batch(self._ids[name], params=params[first : first + BATCH])

    def _has_begun(self, address: str, version: tuple[int, int]) -> bool:
        """Begin the run of an experiment with the first of its results; returns whether it has begun."""
        if address not in self._ids:
            self._attempt(f"parameters of {address}", self._begin_experiment, address, version[0] // 10**6)
        return address in self._ids

    def _begin_experiment(self, address: str, began: int) -> None:
        task, _, name = address.partition(".")
        body = self._parameters.get(task, {}).get(name, {})
        names = self._read.get(address, set())
        parameters = {
            key.removeprefix(f"{address}."): value
            for key, value in parameters_in_use(self._parameters, names).items()
        }
        tags = {"task": task, "experiment": name, TRAINED: "false", **metadata.description(name, body)}
        if tags.get("family") == "bound":
            self._bounds.add(address)
        tags["mlflow.parentRunId"] = self._ids[PARENT]
        self._create(address, metadata.title_of(address, self._run_params, names), parameters, tags, began)
        if self._data:
            self._log_data(address)

    def _end_experiment(self, address: str) -> None:
        """End the run of an experiment that is complete."""
        self._ends[address] = self._completion(address)
        with contextlib.suppress(Exception):  # tried again when the parent ends
            self._terminate(address)

    def _terminate(self, name: str) -> None:
        self._client.set_terminated(self._ids[name], *self._ends[name])
        self._ends[name] = "", 0

    def _read_rows(self, each: Stored, rows: dict[str, list[metrics.Value]]) -> None:
        """Add the rows of a history that are new, or scores and their headline, to those of its run."""
        table: pd.DataFrame = each.dataset.load()
        now = milliseconds()
        if each.kind == "history":
            self._has_loss[each.owner] = "loss" in table
            values, reached = metrics.history(table, self._steps.get(each.name, -math.inf), now)
            self._reached[each.name] = reached
            rows[each.owner] += values
            return
        from fieldcast.tasks import TASKS

        self._models.note_scores(each.owner, table, now)
        rows[each.owner] += metrics.scores(table, now)
        headline = TASKS[each.owner.partition(".")[0]].headline(table)
        if headline is not None:
            self._headlines[each.owner] = headline
            rows[each.owner].append(("headline", headline.value, now, 0))

    def _log(self, name: str, values: Sequence[metrics.Value]) -> None:
        from mlflow.entities import Metric

        entries = [Metric(*value) for value in values]
        for first in range(0, len(entries), 10 * BATCH):
            self._client.log_batch(self._ids[name], metrics=entries[first : first + 10 * BATCH])

    def _tag(self, name: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(
            self._ids[name], tags=[RunTag(key, value[:5000]) for key, value in tags.items()]
        )

    def _record(self, each: Stored) -> None:
        """Record the fields, a checkpoint, a user's file, or a copy of a file or folder."""
        path = Path(each.place)
        if each.kind == "data":
            self._note_data(each.dataset.load())
        elif "://" in each.place:
            return  # files of a remote data root stay there
        elif each.kind == "model":
            self._log_model(each, path)
        elif each.kind == "result":
            self._log_result(each.owner, path)
        elif "loss_curve@" in each.name and not self._has_loss.get(each.owner, True):
            return  # a picture without a curve
        elif not (path.suffix == ".csv" and each.dataset.load().empty):
            self._log_artifact(each.owner, path)

    def _note_data(self, data: Any) -> None:
        """Record the fields, by digest and source, as an input of all runs."""
        attributes = getattr(data, "attrs", {})
        if "digest" in attributes:
            self._data = (
                str(attributes["digest"]), str(attributes.get("source", "")), metadata.variables(data)
            )  # fmt: skip
            self._models.digest = self._data[0]
            for name in list(self._ids):
                self._log_data(name)

    def _log_data(self, name: str) -> None:
        import numpy as np
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.types import Schema, TensorSpec
        from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

        if self._data is None:
            return
        digest, source, variables = self._data
        specs: list[Any] = [TensorSpec(np.dtype(kind), shape, name) for name, kind, shape in variables]
        schema = Schema(specs) if specs else None
        origin = CodeDatasetSource({"source": source})
        fields = MetaDataset(origin, name="fields", digest=digest, schema=schema)  # type: ignore[abstract]
        tags = [InputTag(MLFLOW_DATASET_CONTEXT, self._contexts[name])]
        given = DatasetInput(Dataset(**fields.to_dict()), tags)
        self._client.log_inputs(self._ids[name], [given])

    def _log_artifact(self, name: str, path: Path) -> None:
        """Store a copy of a file unless it is empty, or of a folder unless no file is in it."""
        if path.is_dir():
            if any(file.is_file() for file in path.rglob("*")):
                self._client.log_artifacts(self._ids[name], str(path), path.name)
        elif path.stat().st_size:
            self._client.log_artifact(self._ids[name], str(path))

    def _log_model(self, each: Stored, path: Path) -> None:
        """Record the tuned values of a checkpoint, and log it as a model and as the output of its run.

        The same weights are logged once, and only for tasks with `serving`, whose models work alone. A model is loaded
        to be logged; a checkpoint for which there is not enough memory is recorded as a file.
        """
        from fieldcast.datasets.parts import available
        from fieldcast.tasks import TASKS

        is_served = TASKS[each.owner.partition(".")[0]].serving is not None
        try:
            checkpoint = LoggedCheckpoint.of(each.owner, path)
        except InputError:
            if is_served:
                raise
            return
        self._tag(each.owner, {TRAINED: str(checkpoint.weights != self._weights[each.name]).lower()})
        self._log(each.owner, metrics.tuned(checkpoint.tuned, milliseconds()))
        if not is_served:
            return
        if LOADING_MEMORY * path.stat().st_size > available():
            LOG.info(
                "The checkpoint of %s is recorded as a file: to log it as a model takes more memory.",
                each.owner,
            )
            self._log_artifact(each.owner, path)
            return
        self._models.log(each.owner, checkpoint)

    def _log_result(self, name: str, path: Path) -> None:
        """Record where a filled or predicted file is, from which checkpoint, and that checkpoint's logged model."""
        import xarray as xr

        with xr.open_dataset(path, decode_times=False) as data:
            made_by = {key: str(data.attrs.get(f"fieldcast_{key}", "")) for key in ("experiment", "weights")}
        checkpoint = LoggedCheckpoint(made_by["experiment"], made_by["weights"], path)
        self._tag(name, {"checkpoint": f"{checkpoint.address} {checkpoint.weights}", "output": str(path)})
        self._models.log_input(name, checkpoint)

    def _describe(self) -> None:
        """Record the best headline of each task on the parent, a description with links, and the error of the run."""
        links = {name: f"#/experiments/{self._folder}/runs/{self._ids[name]}" for name in self._headlines}
        note = metadata.note(self._title, self._headlines, self._bounds, links)
        self._tag(PARENT, {"mlflow.note.content": note, **({"error": self._error} if self._error else {})})
        now, best = milliseconds(), metrics.best(self._headlines, self._bounds)
        self._log(PARENT, [(f"headline/{task}", self._headlines[best[task]].value, now, 0) for task in best])
        self._models.rate(self._headlines)

    def _register(self) -> None:
        self._models.register(self._headlines, self._bounds)

    # The end, in the thread of the run.

    def wait_until_open(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until the parent run has begun, or tracking has failed."""
        self._opened.wait(timeout)

    def end(self, status: str, timeout: float, error: str = "") -> None:
        """End the parent with `status`, and so the experiments that are not complete; the others are FINISHED.

        Waits at most `timeout` seconds until everything is recorded, and says what is not.
        """
        begin = time.monotonic()
        self._status, self._error = status, error
        self._until = begin + timeout * (1 - ENDING_SHARE)
        self._ending.set()
        self.join(timeout * (1 - ENDING_SHARE))
        is_late = self.is_alive()
        missing = self._unrecorded()
        left_open = self._end_all(timeout * ENDING_SHARE)
        is_known = not is_late and not self.is_open  # a failed opening has been reported
        if (missing or left_open or is_late) and not is_known:
            late = f"had not finished after {time.monotonic() - begin:.0f} seconds and " if is_late else ""
            LOG.warning("tracking at %s %s%s.", self._address, late, self._report(missing, left_open))

    def _decide_ends(self) -> None:
        """Note how and when each run ended that is still open; a complete one ended with its last file."""
        for name in list(self._ids):
            if name not in self._ends:
                complete = name != PARENT and self._is_complete(name)
                self._ends[name] = self._completion(name) if complete else (self._status, milliseconds())

    def _completion(self, address: str) -> tuple[str, int]:
        versions = [version_of(place, self._credentials) for place in self._leaves[address]]
        return "FINISHED", max(version[0] for version in versions if version) // 10**6

    def _unrecorded(self) -> list[str]:
        """Contents that failed, the one that is being recorded, and those that were not reached."""
        waiting = [each for each in self._stored if self._new_version(each) is not None]
        contents = [*self._lost, self._current, *(each.content for each in waiting)]
        return [content for content in dict.fromkeys(contents) if content]

    def _end_all(self, timeout: float) -> int:
        """End the runs that are still open, all at the same time: one of the answers may never be complete.

        Returns how many may have stayed open.
        """
        until = time.monotonic() + timeout
        self._decide_ends()
        left = [name for name, (status, _) in list(self._ends.items()) if status]
        threads = [threading.Thread(target=self._end_now, args=(name,), daemon=True) for name in left]
        for thread in threads:
            # Python 3.12.0 and 3.12.1 start no thread while they shut down
            with contextlib.suppress(RuntimeError):
                thread.start()
        for thread in (thread for thread in threads if thread.ident is not None):
            thread.join(max(0.0, until - time.monotonic()))
        return sum(bool(status) for status, _ in list(self._ends.values()))

    def _end_now(self, name: str) -> None:
        with contextlib.suppress(Exception):  # the caller counts the runs that are left
            self._terminate(name)

    def _report(self, missing: Sequence[str], left_open: int) -> str:
        clauses = [f"has not recorded {metadata.shorten(missing)}" if missing else "has recorded all"]
        if left_open:
            clauses.append(f"{left_open} of its runs may stay RUNNING until the next run from here ends them")
        else:
            clauses.append("its runs have been ended" if PARENT in self._ids else "no run has begun there")
        if self.first_error:
            clauses.append(f"the first error: {self.first_error}")
        return "; ".join(clauses)


def milliseconds() -> int:
    """The time as MLflow counts it: milliseconds since 1970."""
    return int(time.time() * 1000)


def in_one_line(error: Exception) -> str:
    """An error in at most 200 characters."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
