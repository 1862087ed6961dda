"""One run of pipelines as MLflow shows it: a parent run, and in it a child run for each experiment."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from fieldcast.frame.tracking import metadata
from fieldcast.frame.tracking.parameters import parameters_in_use
from fieldcast.frame.tracking.writer import PARENT, Writer, milliseconds
from fieldcast.lineage import FINISHED_BEFORE
from fieldcast.pipelines.names import TRAINING, address_of, stage_of

if TYPE_CHECKING:
    from fieldcast.scores.headline import Headline

REPORTING = "reporting"  # tag of the nodes of the report
TRAINED = "trained"  # tag of an experiment's run: whether its model was trained in it
LOADED_KINDS = ("metrics", "history", "artifact")  # kinds of data sets whose record depends on their content


class TrackedRun:
    """The state of one run: its open MLflow runs, its remaining nodes, and the data sets that are still to be stored.

    Parameters
    ----------
    writer
        The thread that writes to MLflow; started and closed here.
    pipeline
        The nodes of the run.
    catalog
        Its `metadata: {mlflow: ...}` declare what is recorded.
    parameters
        Parameters as the nodes receive them.
    """

    def __init__(
        self, writer: Writer, pipeline: Pipeline, catalog: CatalogProtocol, parameters: Mapping[str, Any]
    ) -> None:
        self._writer, self._catalog, self._parameters = writer, catalog, parameters
        self._owner = {name: experiment_of(node) for node in pipeline.nodes for name in node.outputs}
        self._contexts = contexts(pipeline)
        self._nodes_left = Counter(
            experiment_of(node) for node in pipeline.nodes if experiment_of(node) != PARENT
        )
        self._begun, self._open = {PARENT}, {PARENT}
        self._running: dict[int, Node] = {}  # the node of each thread
        self._failed: list[Node] = []
        self._to_store: set[str] = set()  # data sets whose files are stored when their node is done
        self._recorded: set[str] = set()  # data sets that have been recorded
        # digest, source and variables of the fields
        self._data: tuple[str, str, metadata.Variables] | None = None
        self._is_trained: dict[str, bool] = {}  # whether this run trained the model of an experiment
        self._has_loss: dict[str, bool] = {}  # whether the history of an experiment has a loss
        self._run_params: Mapping[str, Any] = {}
        self._title = ""  # pipelines, data and environment
        self._read = parameters_read(pipeline)
        self._node_seconds: dict[Node, float] = {}
        self._node_begun: dict[str, float] = {}
        self._headlines: dict[str, Headline] = {}
        self._attributes: dict[str, dict[str, str]] = {}  # the checkpoint of each result
        self._bounds: set[str] = set()  # experiments that are upper bounds on skill

    def begin(self, run_params: Mapping[str, Any], data_root: str | None) -> None:
        """Begin the parent run, whose outputs are in the folder or at the address `data_root`."""
        self._run_params = run_params
        parameters = parameters_in_use(self._parameters, self._read[PARENT])
        self._title = metadata.title(run_params, self._parameters)
        self._writer.start()
        source = metadata.source(run_params, data_root)
        tags = {**source, **metadata.versions()}
        self._writer.submit(self._writer.begin, PARENT, self._title, parameters, tags, milliseconds())
        self._writer.submit(self._writer.record_environment, Path(run_params["project_path"]), source)

    def settle(self, timeout: float) -> None:
        """Wait until the record has begun: its libraries are imported, and no action is going on."""
        self._writer.settle(timeout)

    def begin_node(self, node: Node) -> None:
        """End the node that this thread ran before, and begin the run of the node's experiment."""
        self.end_node()
        self._running[threading.get_ident()] = node
        self._node_begun[node.name] = time.perf_counter()
        address = experiment_of(node)
        if address != PARENT:
            self._begin_experiment(address)
            if stage_of(node.namespace) == "training":
                self._writer.submit(self._writer.monitor, address)

    def end_node(self) -> None:
        """Store the outputs of the node of this thread, and end its experiment if it was the last one."""
        node = self._running.pop(threading.get_ident(), None)
        if node is None:
            return
        address = experiment_of(node)
        self._store_files(node.outputs)
        if address != PARENT:
            self._writer.submit(self._writer.stop_monitoring, address)
            self._nodes_left[address] -= 1
            if not self._nodes_left[address]:
                self._end_experiment(address, "FINISHED")

    def note_failure(self, node: Node) -> None:
        """Note that this node, perhaps one of several that run, has failed."""
        self._failed.append(node)

    def note_time(self, node: Node) -> None:
        """Note that the node has run until now: a generator ends with its last save."""
        if node.name in self._node_begun:  # not in another process
            self._node_seconds[node] = time.perf_counter() - self._node_begun[node.name]

    def loaded(self, name: str, data: Any) -> None:
        """Note which data were read."""
        if self._kind(name) == "data":
            self._note_data(data)
        elif self._kind(name) == "history":
            self._has_loss[name.rpartition(".")[0]] = "loss" in data

    def saved(self, name: str, data: Any) -> None:
        """Record a data set as its `metadata` declares."""
        kind, owner, now = self._kind(name), self._owner.get(name, PARENT), milliseconds()
        if kind is None:
            return
        self._recorded.add(name)
        self._begin_experiment(owner)
        if name.endswith(".checkpoint"):
            self._note_training(owner, True)
        if kind == "metrics":
            from fieldcast.tasks import TASKS

            self._writer.submit(self._writer.scores, owner, data, now)
            headline = TASKS[owner.partition(".")[0]].headline(data)
            if headline is not None:
                self._headlines[owner] = headline
        elif kind == "history":
            self._has_loss[owner] = "loss" in data
            self._note_training(owner, not data.attrs.get(FINISHED_BEFORE))
            self._writer.submit(self._writer.history, owner, data, now)
        elif kind == "data":
            self._note_data(data)
        elif kind == "result":
            self._attributes[name] = {
                key: str(data.attrs.get(f"fieldcast_{key}", "")) for key in ("experiment", "weights")
            }
            self._to_store.add(name)
        elif not is_empty(data) and self._has_loss.get(
            owner if name.endswith(".loss_curve") else PARENT, True
        ):
            self._to_store.add(name)

    def complete(self) -> None:
        """Record the data sets that other processes have saved, and count every node as done."""
        for name in sorted(set(self._owner) - self._recorded):
            kind = self._kind(name)
            if kind and self._catalog.exists(name):
                self.saved(name, self._catalog.load(name) if kind in LOADED_KINDS else None)
        self._store_files(self._to_store)
        for address in sorted(self._open - {PARENT}):
            self._end_experiment(address, "FINISHED")

    def fail(self, error: Exception) -> None:
        """Tag the run and the experiment whose node failed with the error, and end that experiment as FAILED."""
        reason = {"error": f"{type(error).__name__}: {error}"}
        failed = {experiment_of(node) for node in self._failed or self._running.values()}
        for name in {PARENT, *failed} & self._open:
            self._writer.submit(self._writer.tag, name, reason)
        self._store_files(self._to_store)
        for address in sorted((failed & self._open) - {PARENT}):
            self._end_experiment(address, "FAILED")

    def end(self, status: str, timeout: float) -> None:
        """End the experiments that are open, whose nodes are not all done, as KILLED, and the parent with `status`.

        Waits for the writer, at most `timeout` seconds.
        """
        self._store_files(self._to_store)
        for address in sorted(self._open - {PARENT}):
            self._end_experiment(address, "KILLED")
        headlines, bounds = dict(self._headlines), set(self._bounds)
        self._writer.submit(self._writer.describe, self._title, headlines, bounds)
        self._writer.submit(self._writer.register, headlines, bounds)
        self._writer.end(PARENT, status)
        self._writer.close(timeout)

    def _kind(self, name: str) -> str | None:
        if name.startswith("params:") or name == "parameters":
            return None
        declared = getattr(self._catalog.get(name), "metadata", None)
        return declared.get("mlflow") if isinstance(declared, Mapping) else None

    def _begin_experiment(self, address: str) -> None:
        if address in self._begun:
            return
        task, _, name = address.partition(".")
        body = self._parameters.get(task, {}).get(name, {})
        names = self._read.get(address, set())
        parameters = {
            key.removeprefix(f"{address}."): value
            for key, value in parameters_in_use(self._parameters, names).items()
        }
        title = metadata.title_of(address, self._run_params, names)
        tags = {"task": task, "experiment": name, TRAINED: "false", **metadata.description(name, body)}
        if tags.get("family") == "bound":
            self._bounds.add(address)
        self._writer.submit(self._writer.begin, address, title, parameters, tags, milliseconds())
        self._begun.add(address)
        self._open.add(address)
        if self._data:
            self._writer.submit(self._writer.read, address, *self._data, self._contexts[address])

    def _note_training(self, address: str, is_trained: bool) -> None:
        """Tag the run of an experiment with whether its model was trained in it, not only loaded."""
        if address != PARENT and self._is_trained.get(address) != is_trained:
            self._is_trained[address] = is_trained
            self._writer.submit(self._writer.tag, address, {TRAINED: str(is_trained).lower()})

    def _note_data(self, data: Any) -> None:
        """Record the fields, by digest and source, as an input of all open runs."""
        attributes = getattr(data, "attrs", {})
        if "digest" not in attributes:
            return
        fields = str(attributes["digest"]), str(attributes.get("source", "")), metadata.variables(data)
        if self._data is None or fields[:2] != self._data[:2]:
            self._data = fields
            for name in sorted(self._open):
                self._writer.submit(self._writer.read, name, *fields, self._contexts[name])

    def _store_files(self, names: Iterable[str]) -> None:
        """Store the files of data sets that have been saved."""
        for name in sorted(self._to_store.intersection(names)):
            self._store(name)
            self._to_store.remove(name)

    def _store(self, name: str) -> None:
        dataset, owner = self._catalog.get(name), self._owner.get(name, PARENT)
        # the attributes of Kedro's data sets, and of this package's
        path = getattr(dataset, "_filepath", getattr(dataset, "_path", None))
        if path is None:
            return
        kind, file = self._kind(name), Path(str(path))
        if kind == "model":
            self._writer.submit(self._writer.model, owner, file)
        elif kind == "result":
            self._writer.submit(self._writer.result, owner, file, self._attributes[name])
        else:
            self._writer.submit(self._writer.artifact, owner, file)

    def _end_experiment(self, address: str, status: str) -> None:
        self._open.remove(address)
        seconds: Counter[str] = Counter()
        for node, value in self._node_seconds.items():
            if experiment_of(node) == address:
                seconds.update({stage_of(node.namespace): value, "total": value})
        self._writer.submit(self._writer.durations, address, seconds, milliseconds())
        self._writer.end(address, status)


def parameters_read(pipeline: Pipeline) -> dict[str, set[str]]:
    """Dotted names of the parameters that nodes read, by experiment; for PARENT all that are no experiment's own.

    The report reads options of tasks that may not have run: its nodes do not count.
    """
    names: dict[str, set[str]] = {PARENT: set()}
    for node in (node for node in pipeline.nodes if REPORTING not in node.tags):
        address = experiment_of(node)
        for name in (name.removeprefix("params:") for name in node.inputs if name.startswith("params:")):
            names.setdefault(address, set()).add(name)
            if address == PARENT or not name.startswith(f"{address}."):
                names[PARENT].add(name)
    return names


def contexts(pipeline: Pipeline) -> dict[str, str]:
    """MLflow's context of the fields for each experiment: training if the run trains it, else evaluation.

    For PARENT it is the first of these that an experiment has; preparation where nothing is drawn, scored or shown.
    """
    trained = {experiment_of(node) for node in pipeline.nodes if stage_of(node.namespace) in TRAINING}
    each = {experiment_of(node): "evaluation" for node in pipeline.nodes}
    each |= dict.fromkeys(trained, "training")
    is_shown = any(REPORTING in node.tags for node in pipeline.nodes)
    shared = "training" if trained else "evaluation" if is_shown or set(each) - {PARENT} else "preparation"
    return each | {PARENT: shared}


def is_empty(data: Any) -> bool:
    """Whether a table has no rows, a text or bytes are empty, or the data of a resumable data set are unfinished.

    False for any other kind of data.
    """
    if isinstance(data, tuple):
        return data[0] is None
    return not data if isinstance(data, str | bytes) else getattr(data, "empty", False) is True


def experiment_of(node: Node) -> str:
    """The address of the experiment of a node; PARENT for a shared node."""
    return address_of(node.namespace) or PARENT
