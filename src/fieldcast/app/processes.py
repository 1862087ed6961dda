"""The processes of a run: each worker's share of the cores, and the end by Ctrl-C or SIGTERM, within five seconds.

Both hold under every runner of Kedro: what is not done in a process of its own ends with this one.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, Literal

import click
from kedro.framework.hooks import hook_impl
from threadpoolctl import threadpool_limits

from fieldcast.runtime import THREADS, cores, end_with_parent

GRACE = 1.0  # time for the clean-up of what runs in this process [s], as of a node under SequentialRunner
STOPPED = (
    b"fieldcast: stopped; run the same command again to continue after the last output that was saved.\n"
)

_clean_up: list[Callable[[], None]] = []  # the record of the run, the lock: what a run leaves


def register(action: Callable[[], None]) -> None:
    """Have something done before this process ends, however it is stopped but by SIGKILL."""
    _clean_up.append(action)
    atexit.register(action)


def unregister(action: Callable[[], None]) -> None:
    """Leave it out, as it is done."""
    if action in _clean_up:
        _clean_up.remove(action)
    atexit.unregister(action)


def stop_on_signals() -> None:
    """Have Ctrl-C and SIGTERM end the process with a sentence, after its clean-up, and with the exit code that shells
    expect, 130 or 143; a signal that the process ignores stays ignored.

    Kedro calls no hook then, and click ends every command that Ctrl-C stops with the exit code 1. Pools of threads and
    processes run everything that is queued before they end: after `GRACE` the workers are killed, and the process ends.
    """
    process, received = os.getpid(), list[int]()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process or received:  # a worker is ended by its parent
            return
        received.append(number)
        os.write(2, STOPPED)  # as any line may be half written
        timer = threading.Timer(GRACE, end_now, [128 + number])
        timer.daemon = True
        timer.start()
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def end_now(code: int) -> None:
    """Kill the workers, clean up, and end the process, whatever its threads do."""
    for worker in multiprocessing.active_children():
        worker.kill()
    for action in reversed(_clean_up):
        action()
    os._exit(code)


def place_of_nodes(run_params: Mapping[str, Any]) -> Literal["here", "forks", "elsewhere"]:
    """The place of a runner's nodes: this process, forks of it, or other processes, in which Kedro calls no hook."""
    runner = str(run_params.get("runner"))
    if not any(name in runner for name in ("ParallelRunner", "DaskRunner")):
        return "here"
    method = os.environ.get("KEDRO_MP_CONTEXT") or multiprocessing.get_start_method()
    return "forks" if method == "fork" and "DaskRunner" not in runner else "elsewhere"


class Threads:
    """Gives each worker of `ParallelRunner` an equal share of the cores, unless the environment sets the threads.

    Two workers with two threads each, on two cores, take far more than twice the time of one thread each.
    """

    def __init__(self) -> None:
        self._limits: Any = None

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: Mapping[str, Any]) -> None:
        """Set the threads of libraries that are loaded, which forked workers inherit, and of those that will be."""
        self._restore()
        if place_of_nodes(run_params) == "here" or THREADS in os.environ:
            return
        command = click.get_current_context(silent=True)
        given = (command.params.get("runner_params") or {}) if command else {}
        threads = max(1, cores() // int(given.get("max_workers") or cores()))
        os.environ[THREADS] = str(threads)
        self._limits = threadpool_limits(threads)
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Restore the threads of this process."""
        self._restore()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Restore the threads of this process."""
        self._restore()

    def _restore(self) -> None:
        if self._limits is not None:
            self._limits.restore_original_limits()
            self._limits = None
            os.environ.pop(THREADS, None)


def leave_threads_behind() -> None:
    """Give dask threads in a fork: its copy of the parent's pool has none, and dask would wait for ever."""
    if dask := sys.modules.get("dask"):
        dask.config.set(pool=ThreadPoolExecutor(cores()))


# workers that are forked; those that are spawned import `fieldcast.pipelines`, which does the same
os.register_at_fork(after_in_child=end_with_parent)
os.register_at_fork(after_in_child=leave_threads_behind)
# Python removes the semaphores of spawned workers that are killed, and would warn of each such run
os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
