"""Kedro's settings of this project, and silence: nothing is reported to Kedro's or MLflow's makers."""

import os

# before Kedro's plugins look for them and before mlflow is imported; MLflow wants exactly the word "true"
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from kedro.config import OmegaConfigLoader

from fieldcast.frame.lock import Lock
from fieldcast.frame.preflight import Checks
from fieldcast.frame.tracking.hook import Tracking

# set FIELDCAST_CONF where the package is installed without its project
CONF_SOURCE = os.environ.get("FIELDCAST_CONF", "conf")
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},  # an environment holds differences only
}
# Kedro calls the last one first: what is wrong is said before it is tracked; the lock is given back when all is done
HOOKS = (Lock(), Tracking(), Checks())
