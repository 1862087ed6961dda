"""Processes that this one starts: forks of a server that has imported what they need, and that end with this process.

A fork of this process would hang on locks of its other threads, and a new process imports for seconds. The server has
no threads, and each process is a fork of it.
"""

import os
import pickle
import signal
from multiprocessing import forkserver, get_context, parent_process, resource_tracker

CONTEXT = get_context("forkserver")
TASKS = [f"fieldcast.tasks.{name}" for name in ("reconstruct", "forecast", "assimilate", "sample")]
# optimisers import torch._dynamo, which takes as long as the rest of torch
CONTEXT.set_forkserver_preload(["__main__", "fieldcast.frame.worker", *TASKS, "torch._dynamo"])
THREADS = "OMP_NUM_THREADS"  # read by OpenMP, OpenBLAS, MKL and PyTorch when they are loaded


def start_server() -> None:
    """Have the server start and import, unless it runs already; returns at once.

    It and its forks inherit blocked signals: Ctrl-C and SIGTERM are for the main process, which kills the others.
    """
    resource_tracker.ensure_running()  # which unblocks them when it starts, so before that
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "1"  # keep libraries from starting threads, which a fork would lack
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        del os.environ[THREADS]
        if before is not None:
            os.environ[THREADS] = before


def die_with_parent() -> None:
    """End this process when its parent has died, also within a node (the body of a thread)."""
    if parent := parent_process():
        parent.join()
    os._exit(1)


def portable(error: BaseException) -> BaseException:
    """The error as it would arrive in another process, or a RuntimeError with its text if it cannot be sent."""
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    return copy
