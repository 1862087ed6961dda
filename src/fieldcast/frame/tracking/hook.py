"""Tracking: a parent run for each `kedro run`, in it a child run for each experiment.

What is recorded stands in the catalog (`metadata: {mlflow: metrics | history | figure | artifact | data}`).
"""

import atexit
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from fieldcast.frame.tracking import metadata as tracking
from fieldcast.frame.tracking.writer import PARENT, Record

PATIENCE = 60.0  # seconds that a run waits at its end for what is still to be recorded
LAST_WORDS = 30.0  # the same when it was stopped


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
                self._record.end(self._current, "FAILED")
        self._stop("FAILED", PATIENCE)

    def _kind(self, name: str) -> str | None:
        if name.startswith("params:") or name == "parameters":
            return None
        metadata = getattr(self._catalog.get(name), "metadata", None)
        return metadata.get("mlflow") if isinstance(metadata, Mapping) else None

    def _begin(self, address: str) -> None:
        if self._record and address not in self._begun:
            task, _, name = address.partition(".")
            body = self._parameters.get(task, {}).get(name, {})
            parameters = tracking.as_text({key: value for key, value in body.items() if key != "about"})
            tags = {"task": task, "experiment": name, **tracking.description(name, body), **self._data}
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
                self._record.end(name, "FINISHED")

    def _stop(self, status: str, patience: float) -> None:
        """End what is open: whole children as FINISHED, others as KILLED, the parent with the status."""
        if not self._record:
            return
        self._left[self._current] += status == "KILLED"  # stopped within a node
        self._settle()
        for name in sorted(self._open - {PARENT}):
            self._record.end(name, "KILLED")
        self._record.end(PARENT, status)
        self._record.close(patience)
        self._record = None
        if signal.getsignal(signal.SIGTERM) is _leave:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
