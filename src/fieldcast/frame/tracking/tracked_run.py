"""One run of pipelines as MLflow shows it: a parent run, and in it a child run for each experiment."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from fieldcast.frame.tracking import metadata
from fieldcast.frame.tracking.writer import PARENT, Writer


class TrackedRun:
    """The state of one run: which MLflow runs are open, which nodes are left, what is still to be stored.

    Parameters
    ----------
    writer
        The thread that writes to MLflow; started and closed here.
    pipeline
        The nodes of the run.
    catalog
        Says by `metadata: {mlflow: ...}` what is recorded.
    parameters
        As the nodes see them.
    """

    def __init__(
        self, writer: Writer, pipeline: Pipeline, catalog: CatalogProtocol, parameters: Mapping[str, Any]
    ) -> None:
        self._writer, self._catalog, self._parameters = writer, catalog, parameters
        self._owner = {name: experiment_of(node) for node in pipeline.nodes for name in node.outputs}
        self._nodes_left = Counter(
            experiment_of(node) for node in pipeline.nodes if experiment_of(node) != PARENT
        )
        self._begun, self._open = {PARENT}, {PARENT}
        self._current = PARENT
        self._to_store: set[str] = set()  # data sets whose files are stored when their node is done
        self._recorded: set[str] = set()  # data sets
        self._data_tags: dict[str, str] = {}  # digest and source of the fields

    def begin(self, run_params: Mapping[str, Any]) -> None:
        """Begin the parent run."""
        tasks = {address.partition(".")[0] for address in self._nodes_left}
        parameters = metadata.shared(self._parameters, tasks)
        self._writer.start()
        self._writer.submit(
            self._writer.begin, PARENT, metadata.title(run_params), parameters, metadata.about(run_params)
        )
        self._writer.submit(self._writer.watch, Path(run_params["project_path"]))

    def begin_node(self, node: Node) -> None:
        """Store what earlier nodes made, and begin the run of the node's experiment."""
        self._settle()
        self._current = experiment_of(node)
        if self._current != PARENT:
            self._nodes_left[self._current] -= 1
            self._begin_experiment(self._current)

    def loaded(self, name: str, data: Any) -> None:
        """Note which data were read."""
        if self._kind(name) == "data":
            self._tag_data(data)

    def saved(self, name: str, data: Any) -> None:
        """Record a data set as its `metadata` says."""
        kind, owner, now = self._kind(name), self._owner.get(name, PARENT), int(time.time() * 1000)
        if kind is None:
            return
        self._recorded.add(name)
        self._begin_experiment(owner)
        if kind == "metrics":
            self._writer.submit(self._writer.scores, owner, data, now)
        elif kind == "history":
            self._writer.submit(self._writer.history, owner, data, now)
        elif kind == "data":
            self._tag_data(data)
        else:
            self._to_store.add(name)

    def complete(self) -> None:
        """Record what other processes have saved, and count every node as done."""
        for name in sorted(set(self._owner) - self._recorded):
            kind = self._kind(name)
            if kind and self._catalog.exists(name):
                self.saved(name, self._catalog.load(name) if kind in ("metrics", "history") else None)
        self._nodes_left.clear()

    def fail(self, error: Exception) -> None:
        """Tag the run and the current experiment with the error, and end that experiment as FAILED."""
        reason = {"error": f"{type(error).__name__}: {error}"}
        for name in {PARENT, self._current} & self._open:
            self._writer.submit(self._writer.tag, name, reason)
        self._nodes_left[self._current] = 1  # the node that failed is not done
        self._settle()
        if self._current != PARENT and self._current in self._open:
            self._open.remove(self._current)
            self._writer.end(self._current, "FAILED")

    def end(self, status: str, timeout: float) -> None:
        """End what is open: experiments whose nodes are done as FINISHED, others as KILLED, the parent with `status`.

        Waits for the writer, at most `timeout` seconds.
        """
        self._nodes_left[self._current] += status == "KILLED"  # the current node was interrupted
        self._settle()
        for address in sorted(self._open - {PARENT}):
            self._writer.end(address, "KILLED")
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
        parameters = metadata.as_text({key: value for key, value in body.items() if key != "about"})
        tags = {"task": task, "experiment": name, **metadata.description(name, body), **self._data_tags}
        self._writer.submit(self._writer.begin, address, address, parameters, tags)
        self._begun.add(address)
        self._open.add(address)

    def _tag_data(self, data: Any) -> None:
        """Tag all open runs with the digest and the source of the fields."""
        attributes = getattr(data, "attrs", {})
        tags = {f"data.{key}": str(attributes[key]) for key in ("digest", "source") if key in attributes}
        if tags and tags != self._data_tags:
            self._data_tags = tags
            for name in self._open:
                self._writer.submit(self._writer.tag, name, tags)

    def _settle(self) -> None:
        """Store the files of the nodes that are done, and end the experiments whose nodes are all done."""
        for name in sorted(self._to_store):
            dataset = self._catalog.get(name)
            path = getattr(
                dataset, "_filepath", getattr(dataset, "_path", None)
            )  # of Kedro's data sets, of ours
            if path is not None:
                self._writer.submit(self._writer.artifact, self._owner.get(name, PARENT), Path(str(path)))
        self._to_store.clear()
        for address in sorted(self._open - {PARENT}):
            if not self._nodes_left[address]:
                self._open.remove(address)
                self._writer.end(address, "FINISHED")


def experiment_of(node: Node) -> str:
    """The experiment of a node, whose namespace is `<task>.<experiment>.<stage>`; PARENT for a shared node."""
    task, _, rest = (node.namespace or "").partition(".")
    return f"{task}.{rest.partition('.')[0]}" if rest else PARENT
