"""Kedro settings of this project; they also switch off the telemetry of Kedro and MLflow."""

import os

# before Kedro's plugins read them and mlflow is imported; MLflow accepts only "true"
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from fieldcast.app.conf_source import conf_source
from fieldcast.app.console import Console
from fieldcast.app.lock import Lock
from fieldcast.app.preflight import Checks
from fieldcast.app.processes import Threads
from fieldcast.app.tracking.hook import Tracking
from fieldcast.datasets.atomic import in_project

CONF_SOURCE = conf_source()
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "demo",
    "merge_strategy": {"parameters": "soft", "tracking": "soft"},  # an environment holds differences only
    "config_patterns": {"dask": ["dask.yml"], "tracking": ["tracking.yml"]},
    "custom_resolvers": {"in_project": in_project},
}
# Kedro calls the last one first: the checks come before tracking, and the lock is released last
HOOKS = (Lock(), Tracking(), Console(), Checks(), Threads())
