"""Output of a run: a line for each node, scores as they come, and one screen of results at the end.

`SideBySide` relays the events of its processes. Those of Kedro's `ParallelRunner` log their nodes and scores
themselves, without progress and durations.
"""

import logging
import os
import threading
import time
from collections.abc import Collection, Mapping
from multiprocessing import Value
from typing import Any

import click
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from fieldcast import runtime
from fieldcast.frame.durations import store_durations

INTERVAL = 30.0  # time between lines within a long node [s]
NOTHING_TO_RUN = (
    "All outputs exist; nothing to run. Leave out --only-missing-outputs to run every node again."
)

LOG = logging.getLogger(__name__)


class Console:
    """Prints the progress of a run on stderr, and its results on stdout.

    In the catalog, `metadata: {print: text}` marks a data set that is printed at the end of a run, `{print: path}` one
    whose path is printed then, `{print: [text, path]}` one with both, and `{mlflow: metrics}` scores whose headline is
    printed as soon as they are saved.
    """

    def __init__(self) -> None:
        self._begun = Value("i")  # number of nodes that have begun, counted by all processes of a run
        self._total = 0
        self._catalog: CatalogProtocol | None = None
        self._running: dict[int, tuple[str, float]] = {}  # node of each thread, with its start time
        self._reading: dict[str, float] = {}  # nodes that read their inputs, with the start time
        self._seconds: dict[str, float] = {}  # duration of each node of this run
        self._knows_ends = False  # whether the runner reports the end of each node
        self._end = threading.Event()

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Begin to count nodes, and to watch them."""
        self._stop()  # an earlier run of this process, if it was interrupted
        self._begun.value, self._total, self._catalog = 0, len(pipeline.nodes), catalog
        self._running, self._reading, self._seconds, self._knows_ends = {}, {}, {}, False
        self._end = threading.Event()
        threading.Thread(target=self._watch, args=(self._end,), daemon=True).start()

    @hook_impl
    def before_nodes_run(self, pipeline: Pipeline) -> None:
        """Count the nodes that will run; only this project's runners call this hook."""
        self._total = len(pipeline.nodes)

    @hook_impl
    def before_dataset_loaded(self, node: Node) -> None:
        """Note that a node begins: reading its inputs is part of its duration."""
        if self._running.get(threading.get_ident(), (node.name,))[0] != node.name:
            self._note_end()
        self._reading.setdefault(node.name, time.monotonic())

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Log a short line for each node."""
        with self._begun.get_lock():
            self._begun.value += 1
            count = self._begun.value
        self._note_end()
        begun = self._reading.pop(node.name, time.monotonic())
        self._running[threading.get_ident()] = node.name, begun
        LOG.info("%*d/%d  %s", len(str(self._total)), count, self._total, node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Note how long the node has run until now (a generator ends with its last save); log headlines."""
        self._seconds[node.name] = time.monotonic() - self._running[threading.get_ident()][1]
        if self._metadata(dataset_name).get("mlflow") == "metrics":
            # imported here: takes half a second, which only runs should spend
            from fieldcast.scores.headline import format_score
            from fieldcast.tasks import TASKS

            experiment = dataset_name.rpartition(".")[0]
            headline = TASKS[experiment.partition(".")[0]].headline(data)
            if headline is not None:
                score = format_score(headline.value)
                LOG.info("%s%s: %s, %s", self._margin, experiment, score, headline.title)

    @hook_impl
    def after_node_ended(self) -> None:
        """Note how long the node of this thread has run; only this project's parallel runners call this hook."""
        self._knows_ends = True
        self._note_end()

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline) -> None:
        """Store durations; print texts that the catalog marks, then paths; say so if no node had to run."""
        self._stop()
        if pipeline.nodes and not self._begun.value:
            LOG.info(NOTHING_TO_RUN)
        self._note_end()
        self._store(self._seconds)
        outputs = [output for node in pipeline.nodes for output in node.outputs]
        texts = [self._text(name) for name in outputs if "text" in self._printed_parts(name)]
        paths = [self._path(name) for name in outputs if "path" in self._printed_parts(name)]
        printed = [text.strip("\n") for text in (*texts, "\n".join(paths)) if text]
        if printed:
            click.echo("\n\n".join(printed))

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Log no more lines; store the durations of the nodes that have ended."""
        self._stop()
        running = {name for name, _ in self._running.values()}
        self._store({name: seconds for name, seconds in self._seconds.items() if name not in running})

    def _watch(self, end: threading.Event) -> None:
        """Log a line every INTERVAL within a node, unless a bar in the terminal says more."""
        while not end.wait(INTERVAL):
            running = list(self._running.items())
            if len(running) > 1 and not self._knows_ends:  # an idle thread still has its last node
                running = [entry for entry in running if entry[1][0] not in self._seconds]
            for thread, (name, begun) in running:
                seconds = time.monotonic() - begun
                if seconds >= INTERVAL and not runtime.drawn():
                    state = runtime.relayed(thread) or (runtime.state() if len(running) == 1 else "")
                    how_far = ", ".join(filter(None, [runtime.duration(seconds), state]))
                    LOG.info("%s%s: %s", self._margin, name, how_far)

    def _note_end(self) -> None:
        """Note how long the last node of this thread has run if it saved nothing: its outputs already existed."""
        if last := self._running.pop(threading.get_ident(), None):
            self._seconds.setdefault(last[0], time.monotonic() - last[1])

    def _store(self, seconds: Mapping[str, float]) -> None:
        if self._catalog is not None:
            store_durations(self._catalog, seconds)

    def _stop(self) -> None:
        self._end.set()

    @property
    def _margin(self) -> str:
        return " " * (2 * len(str(self._total)) + 3)

    def _metadata(self, name: str) -> Mapping[str, Any]:
        metadata = getattr(self._catalog.get(name), "metadata", None) if self._catalog else None
        return metadata if isinstance(metadata, Mapping) else {}

    def _printed_parts(self, name: str) -> Collection[str]:
        """Name the parts of an output that are printed at the end of a run: its `text`, its `path`, or both."""
        parts = self._metadata(name).get("print") or []
        return [parts] if isinstance(parts, str) else parts

    def _text(self, name: str) -> str:
        """The text of an output, which a runner with several processes has saved in another one."""
        return str(self._catalog.load(name)) if self._catalog else ""

    def _path(self, name: str) -> str:
        """Name an output with its path, relative to the working folder if it is below that."""
        location = str(getattr(self._catalog.get(name), "location", "")) if self._catalog else ""
        if "://" not in location and location:
            location = os.path.normpath(location)
            location = location.removeprefix(os.getcwd() + os.sep)
        return f"{name}: {location}"
