"""A process that runs nodes for another one, which does all bookkeeping: it relays what hooks are told, and progress.

Nodes, catalog and data in memory travel by pipe. `Worker` is the caller's end of the pipe, `serve` the process.
"""

import os
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from typing import Any

from kedro.framework.hooks.manager import _create_hook_manager
from kedro.framework.project import configure_logging
from kedro.io import CatalogProtocol
from kedro.pipeline.node import Node
from kedro.runner.task import Task

from fieldcast.errors import InputError
from fieldcast.frame import error_messages
from fieldcast.frame.relay import Relay
from fieldcast.progress import Progress, state

THREADS = "OMP_NUM_THREADS"  # read by OpenMP, OpenBLAS, MKL and PyTorch
Listener = Callable[[str, Mapping[str, Any]], None]  # of events: the name of Kedro's hook, and its arguments


@dataclass(frozen=True)
class Setting:
    """What a process needs before its first node.

    Parameters
    ----------
    catalog
        Without data in memory but for parameters.
    hooks
        Objects that act within the process; all other hooks are told of its events.
    run_id
        Of the run, for hooks.
    logging
        Configuration of the logs.
    interval
        Seconds between messages of progress.
    """

    catalog: CatalogProtocol
    hooks: list[Any]
    run_id: str | None
    logging: dict[str, Any]
    interval: float


class Worker:
    """A process for one node at a time, started at once; it ends with `stop`, or when this process dies."""

    def __init__(self, setting: bytes, threads: int) -> None:
        """setting: a pickled Setting; threads: of its numerical libraries, unless OMP_NUM_THREADS is set."""
        spawn = get_context("spawn")  # a forked process would hang on the locks of this one's other threads
        self._pipe, other = spawn.Pipe()
        self._process = spawn.Process(target=serve, args=(other,))
        with environment(THREADS, str(threads)):
            self._process.start()
        other.close()
        self._setting: bytes | None = setting

    def run(
        self, node: Node, inputs: Mapping[str, Any], outputs: list[str], listener: Listener
    ) -> dict[str, Any]:
        """Run a node, whose `inputs` in memory are sent; return its `outputs` in memory.

        Raises the error of the node, or InputError if the process was killed.
        """
        try:
            if self._setting is not None:
                self._pipe.send_bytes(self._setting)
                self._setting = None
            self._pipe.send((node, inputs, outputs))
            while True:
                kind, content = self._pipe.recv()
                if kind == "ended":
                    return content
                if kind == "failed":
                    raise linked(content)
                listener(kind, content)
        except (EOFError, ConnectionError):
            self._process.join()
            raise InputError(
                f"the process that ran {node.name} was killed (exit code {self._process.exitcode}), perhaps for lack "
                "of memory: run the same command again to resume, with fewer nodes at a time if you add "
                "--runner-params max_workers=1."
            ) from None

    def stop(self) -> None:
        """Kill the process: what it has saved is whole, as every data set is written completely or not at all."""
        self._process.kill()
        self._process.join()


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment for processes that start meanwhile, unless it is set already."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def serve(pipe: Connection) -> None:
    """Run nodes until the other end of the pipe is closed (the body of the process)."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    try:
        setting: Setting = pipe.recv()
        service = Service(pipe, setting)
        while True:
            service.run(*pipe.recv())
    except EOFError:
        return


def die_with_parent() -> None:
    """End this process when its parent has died, also within a node."""
    if parent := parent_process():
        parent.join()
    os._exit(1)


class Service:
    """The process's side: runs a node, and tells the other side what happens."""

    def __init__(self, pipe: Connection, setting: Setting) -> None:
        configure_logging(setting.logging)
        Progress.may_draw = False  # other processes write to the same terminal
        self._pipe, self._lock = pipe, threading.Lock()
        self._catalog, self._run_id = setting.catalog, setting.run_id
        self._hooks = _create_hook_manager()
        for hook in (*setting.hooks, Relay(self._send)):
            self._hooks.register(hook)
        threading.Thread(target=self._report, args=(setting.interval,), daemon=True).start()

    def run(self, node: Node, inputs: Mapping[str, Any], outputs: list[str]) -> None:
        """Run a node and send its outputs in memory, or its error."""
        try:
            for name, data in inputs.items():
                self._catalog.save(name, data)
            Task(node, self._catalog, False, self._hooks, self._run_id).execute()
            self._send("ended", {name: self._catalog.load(name) for name in outputs})
        except Exception as error:
            self._send("failed", picklable(error))
        for name in (*inputs, *outputs):
            self._catalog.release(name)

    def _report(self, interval: float) -> None:
        """Send progress at intervals (the body of a thread)."""
        pause = threading.Event()
        while not pause.wait(interval):
            self._send("progress", {"state": state()})

    def _send(self, kind: str, content: Any) -> None:
        with self._lock:
            self._pipe.send((kind, content))


def picklable(error: BaseException) -> list[BaseException]:
    """An error and its causes, outermost first, each without the next; the first has the traceback as a note."""
    text = "".join(traceback.format_exception(error))
    links = [alone(link) for link in error_messages.chain(error)]
    links[0].add_note(f"\nin another process:\n{text}")
    return links


def alone(error: BaseException) -> BaseException:
    """The error as it would arrive in another process, or a RuntimeError with its text if it cannot be sent."""
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    return copy


def linked(links: list[BaseException]) -> BaseException:
    """The first of several errors, each with the next as its cause."""
    for error, cause in pairwise(links):
        error.__cause__ = cause
    return links[0]
