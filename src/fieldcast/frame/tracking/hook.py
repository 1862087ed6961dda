"""Kedro's hook for tracking: it passes the events of a run on to its TrackedRun.

The catalog declares what is recorded, as `mlflow: metrics | history | figure | artifact | model | result | data`.
"""

import atexit
import importlib.util
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from fieldcast.frame.lock import data_root
from fieldcast.frame.sigterm import default_on_sigterm, exit_on_sigterm
from fieldcast.frame.tracking import metadata
from fieldcast.frame.tracking.tracked_run import TrackedRun
from fieldcast.frame.tracking.writer import Writer

LOG = logging.getLogger(__name__)

SQLITE = "sqlite:///"
FLUSH_TIMEOUT = 60.0  # time that a run waits at its end for the writer [s]
SHUTDOWN_FLUSH_TIMEOUT = 30.0  # the same after Ctrl-C or SIGTERM [s]


class Tracking:
    """Records runs in MLflow while pipelines run, unless `tracking.yml` has `tracking: false`."""

    def __init__(self) -> None:
        self._context: KedroContext | None = None
        self._parameters: Mapping[str, Any] = {}
        self._run: TrackedRun | None = None

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
        self._kill()  # an earlier run of this process, if it was interrupted
        project = Path(run_params["project_path"])
        conf = Path(self._context.config_loader.conf_source) if self._context else project / "conf"
        options = metadata.options(conf, run_params.get("env"))
        if not options["tracking"]:
            return
        if importlib.util.find_spec("mlflow") is None:
            LOG.info("MLflow is not installed, so this run is not recorded: pip install 'fieldcast[mlflow]'.")
            return
        self._run = TrackedRun(_writer(project, options), pipeline, catalog, self._parameters)
        atexit.register(self._kill)  # Kedro calls no hook on Ctrl-C and SIGTERM
        exit_on_sigterm()
        self._run.begin(run_params, data_root(self._context) if self._context else None)
        if "ParallelRunner" in str(run_params.get("runner")):
            # its processes are forked: one that inherits an import which never ends would wait for it
            self._run.settle(FLUSH_TIMEOUT)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Begin the child run of an experiment with its first node."""
        if self._run:
            self._run.begin_node(node)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Note which data were read."""
        if self._run:
            self._run.loaded(dataset_name, data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Record a data set as the catalog declares; for a generator node, at each of its yields."""
        if self._run:
            self._run.note_time(node)
            self._run.saved(dataset_name, data)

    @hook_impl
    def after_node_ended(self) -> None:
        """Store the outputs of the node that this thread ran.

        Only this project's parallel runners call this hook; under others the start of the next node has the same
        effect.
        """
        if self._run:
            self._run.end_node()

    @hook_impl
    def on_node_error(self, node: Node) -> None:
        """Note which node failed."""
        if self._run:
            self._run.note_failure(node)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """End the run as FINISHED."""
        if self._run:
            self._run.complete()
        self._end("FINISHED", FLUSH_TIMEOUT)

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """End the run, and the experiment whose node raised the error, as FAILED."""
        if self._run:
            self._run.fail(error)
        self._end("FAILED", FLUSH_TIMEOUT)

    def _kill(self) -> None:
        self._end("KILLED", SHUTDOWN_FLUSH_TIMEOUT)

    def _end(self, status: str, timeout: float) -> None:
        if not self._run:
            return
        self._run.end(status, timeout)
        self._run = None  # only now: a Ctrl-C while it waits leaves the rest to the handler at exit
        atexit.unregister(self._kill)
        default_on_sigterm()


def _writer(project: Path, options: Mapping[str, Any]) -> Writer:
    """The writer to the server of the environment or of `tracking.yml`, else to a database in the project."""
    local = f"{SQLITE}{project / 'mlflow.db'}"
    uri = os.environ.get("MLFLOW_TRACKING_URI") or options["uri"] or local
    path = uri.removeprefix(SQLITE)
    # beside a database; MLflow's own default is the working folder
    artifacts = (Path(path).absolute().parent / "mlartifacts").as_uri() if path != uri else None
    return Writer(uri, options["experiment"], artifacts, options["register"])
