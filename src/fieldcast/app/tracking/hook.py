"""Kedro's hook for tracking: it begins the record of a run and ends it.

The catalog declares what is recorded, as `mlflow: metrics | history | figure | artifact | model | result | data`.
"""

import contextlib
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from fieldcast.app import processes
from fieldcast.app.lock import data_root
from fieldcast.app.tracking import metadata
from fieldcast.app.tracking.record import Record

LOG = logging.getLogger(__name__)

SQLITE = "sqlite:///"
FLUSH_TIMEOUT = 60.0  # time that a run waits for its record at its beginning and at its end [s]
STOPPED_TIMEOUT = 3.0  # the same after Ctrl-C or SIGTERM [s]


class Tracking:
    """Records runs in MLflow while pipelines run, unless `tracking.yml` has `tracking: false`."""

    def __init__(self) -> None:
        self._context: KedroContext | None = None
        self._parameters: Mapping[str, Any] = {}
        self._record: Record | None = None
        self._lock = threading.Lock()  # two threads may end a run that is stopped

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
        """Begin the record."""
        self._kill()  # an earlier run of this process, if it was interrupted
        loader: Any = self._context.config_loader if self._context else {}
        options = metadata.options(loader["tracking"] if self._context else {})
        if not options["tracking"]:
            return
        if importlib.util.find_spec("mlflow") is None:
            if os.environ.get("MLFLOW_TRACKING_URI") or options["uri"]:
                LOG.info(
                    "MLflow is not installed, so this run is not recorded: pip install 'fieldcast[mlflow]'."
                )
            return
        address, artifacts = place(Path(run_params["project_path"]), options["uri"])
        if address.startswith("http"):
            # MLflow imports IPython with its first request; matplotlib, drawing meanwhile, would meet half a module
            with contextlib.suppress(ImportError):
                importlib.import_module("IPython")
        options["experiment"] = os.environ.get("MLFLOW_EXPERIMENT_NAME") or options["experiment"]
        root = data_root(self._context) if self._context else None
        credentials = loader["credentials"].get("data_root", {}) if root and "://" in root else {}
        # a run that the caller has begun stays as it is: this one becomes its child
        caller = mlflow.active_run() if (mlflow := sys.modules.get("mlflow")) else None
        above = os.environ.get("MLFLOW_RUN_ID") or (caller.info.run_id if caller else "")
        source = metadata.source(run_params, root) | ({"mlflow.parentRunId": above} if above else {})
        self._record = Record(
            address, options, artifacts, pipeline, catalog, self._parameters, run_params, source, credentials
        )  # fmt: skip
        self._record.start()
        processes.register(self._kill)
        if processes.place_of_nodes(run_params) == "forks":
            # a process that inherits an import which never ends would wait for it
            self._record.wait_until_open(FLUSH_TIMEOUT)

    @hook_impl
    def after_pipeline_run(self) -> None:
        self._end("FINISHED", FLUSH_TIMEOUT)

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """End the run as FAILED, and with it the experiments that are not complete."""
        self._end("FAILED", FLUSH_TIMEOUT, f"{type(error).__name__}: {error}")

    def _kill(self) -> None:
        self._end("KILLED", STOPPED_TIMEOUT)

    def _end(self, status: str, timeout: float, error: str = "") -> None:
        with self._lock:
            if self._record:
                self._record.end(status, timeout, error)
                self._record = None  # only now: a Ctrl-C while it waits leaves the rest to the clean-up
                processes.unregister(self._kill)


def place(project: Path, configured: str | None) -> tuple[str, str | None]:
    """The server of the environment or of `tracking.yml`, else a database in the project; the folder of its files."""
    address = os.environ.get("MLFLOW_TRACKING_URI") or configured or f"{SQLITE}{project / 'mlflow.db'}"
    path = address.removeprefix(SQLITE)
    # beside a database; MLflow's own default is the working folder
    return address, None if path == address else (Path(path).absolute().parent / "mlartifacts").as_uri()
