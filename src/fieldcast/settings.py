"""Kedro settings of this project; they also switch off the telemetry of Kedro and MLflow."""

import os

# before Kedro's plugins read them and mlflow is imported; MLflow accepts only "true"
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from fieldcast.frame.catalog import Catalog
from fieldcast.frame.conf_source import conf_source
from fieldcast.frame.config_loader import ConfigLoader
from fieldcast.frame.console import Console
from fieldcast.frame.lock import Lock
from fieldcast.frame.preflight import Checks
from fieldcast.frame.resumption import Resumption
from fieldcast.frame.tracking.hook import Tracking

CONF_SOURCE = conf_source()
CONFIG_LOADER_CLASS = ConfigLoader
DATA_CATALOG_CLASS = Catalog
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},  # an environment holds differences only
    "config_patterns": {"dask": ["dask.yml"]},
}
# Kedro calls the last one first: the checks come before tracking, and the lock is released last
HOOKS = (Lock(), Tracking(), Resumption(), Console(), Checks())
