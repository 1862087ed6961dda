"""Output of a run: a line for each node, scores as they come, one screen of results at the end.

Forked workers of `ParallelRunner` log their nodes, progress and scores themselves. Kedro calls no hook in spawned ones:
its own lines on nodes that have ended take their place.
"""

import inspect
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
from fieldcast.app.conf_source import with_options
from fieldcast.app.processes import place_of_nodes, stop_on_signals
from fieldcast.datasets.base import location

INTERVAL = 30.0  # time between lines within a long node [s]
NOTHING_TO_RUN = (
    "All outputs exist; nothing to run. Leave out --only-missing-outputs to run every node again."
)

LOG = logging.getLogger(__name__)
KEDRO = logging.getLogger("kedro.runner")


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
        self._ended: set[str] = set()  # nodes that have saved an output
        self._hears_nodes = True  # whether Kedro calls hooks where nodes run
        self._process = os.getpid()
        self._saved: list[str] = []  # data sets in the order in which this run has saved them
        self._end = threading.Event()

    @hook_impl
    def before_pipeline_run(
        self, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Begin to count nodes, and to watch them."""
        self._stop()  # an earlier run of this process, if it was interrupted
        self._begun.value, self._total, self._catalog = 0, len(pipeline.nodes), catalog
        self._saved = []
        self._begin_to_watch()
        self._hears_nodes = place_of_nodes(run_params) != "elsewhere"
        KEDRO.setLevel(logging.ERROR if self._hears_nodes else logging.INFO)
        if click.get_current_context(silent=True) and threading.current_thread() is threading.main_thread():
            stop_on_signals()

    def _begin_to_watch(self) -> None:
        """Watch the nodes of this process, which may be a forked worker."""
        self._running, self._ended, self._process = {}, set(), os.getpid()
        self._end = threading.Event()
        threading.Thread(target=self._watch, args=(self._end,), daemon=True).start()

    @hook_impl
    def before_dataset_loaded(self, node: Node) -> None:
        """Watch the last node of this thread no longer, as another one reads its inputs."""
        if self._running.get(threading.get_ident(), (node.name,))[0] != node.name:
            del self._running[threading.get_ident()]

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Log a short line for each node."""
        if self._process != os.getpid():
            runtime.Progress.may_draw = False  # other processes write to the same terminal
            self._begin_to_watch()
        with self._begun.get_lock():
            self._begun.value += 1
            count = self._begun.value
        self._running[threading.get_ident()] = node.name, time.monotonic()
        LOG.info("%*d/%d  %s", len(str(self._total)), count, self._total, node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Log headlines; watch a node no longer that has saved its last output, unless it yields another part of it."""
        self._saved.append(dataset_name)
        self._ended.add(node.name)
        if dataset_name == node.outputs[-1] and not inspect.isgeneratorfunction(node.func):
            self._running.pop(threading.get_ident(), None)
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
    def after_pipeline_run(self, pipeline: Pipeline) -> None:
        """Print texts that the catalog marks, then paths; say so if no node had to run."""
        self._stop()
        if pipeline.nodes and not self._begun.value and self._hears_nodes:
            LOG.info(NOTHING_TO_RUN)
        outputs = [output for node in pipeline.nodes for output in node.outputs]
        texts = [self._text(name) for name in self._last_of_each_kind(outputs)]
        paths = [self._path(name) for name in outputs if "path" in self._printed_parts(name)]
        printed = [text.strip("\n") for text in (*texts, "\n".join(paths)) if text]
        if printed:
            click.echo("\n\n".join(printed))

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Log no more lines."""
        self._stop()

    def _watch(self, end: threading.Event) -> None:
        """Log a line every INTERVAL within a node, unless a bar in the terminal says more."""
        while not end.wait(INTERVAL):
            running = list(self._running.items())
            if len(running) > 1:  # an idle thread still has its last node
                running = [entry for entry in running if entry[1][0] not in self._ended]
            for _, (name, begun) in running:
                seconds = time.monotonic() - begun
                if seconds >= INTERVAL and not runtime.drawn():
                    state = runtime.state() if len(running) == 1 else ""
                    how_far = ", ".join(filter(None, [runtime.duration(seconds), state]))
                    LOG.info("%s%s: %s", self._margin, name, how_far)

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

    def _last_of_each_kind(self, names: Collection[str]) -> Collection[str]:
        """The data sets whose text is printed: of those that several experiments of a task have, the last one saved."""
        printed = [name for name in names if "text" in self._printed_parts(name)]
        printed.sort(key=lambda name: self._saved.index(name) if name in self._saved else -1)
        return {(name.partition(".")[0], name.rpartition(".")[2]): name for name in printed}.values()

    def _text(self, name: str) -> str:
        """The text of an output, which a runner with several processes has saved in another one."""
        return with_options(str(self._catalog.load(name))) if self._catalog else ""

    def _path(self, name: str) -> str:
        """Name an output with its path, relative to the working folder if it is below that."""
        place = location(self._catalog.get(name)) if self._catalog else ""
        if "://" not in place and place:
            place = os.path.normpath(place).removeprefix(os.getcwd() + os.sep)
        return f"{name}: {place}"
