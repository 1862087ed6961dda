"""A node as a task of Dask, which a worker of the cluster runs."""

import os
import pickle
import threading
import uuid
from typing import Any

from fieldcast import lineage
from fieldcast.frame.worker import Service, Setting
from fieldcast.runtime import THREADS

# by setting and thread, so that data are compared with their digest once
_services: dict[tuple[str, int], Service] = {}


def run(setting: bytes, message: bytes, topic: str, slot: str) -> bytes:
    """Run a node and send its events under `topic`; returns the result of `Service.run`, pickled.

    Everything travels pickled, from and to processes of the same run.
    """
    from distributed import get_worker  # here: an extra

    worker, attempt = get_worker(), uuid.uuid4().hex

    def send(event: str, arguments: Any) -> None:
        content = pickle.dumps((event, arguments))
        worker.log_event(topic, {"slot": slot, "attempt": attempt, "content": content})

    node, inputs, outputs = pickle.loads(message)
    outcome = service_of(setting).run(node, inputs, outputs, send)
    send("returned", None)
    return pickle.dumps(outcome)


def service_of(setting: bytes) -> Service:
    """The service of this thread of the worker; those of earlier runs are forgotten."""
    digest = lineage.digest(setting)
    for key in list(_services):
        if key[0] != digest:
            _services.pop(key, None)  # unless another thread was faster
    key = digest, threading.get_ident()
    if key not in _services:
        _services[key] = start_service(pickle.loads(setting))
    return _services[key]


def start_service(setting: Setting) -> Service:
    """A service of this process, in its own environment except for the number of threads."""
    os.environ[THREADS] = setting.environ.get(THREADS, str(setting.threads))
    return Service(setting)
