"""A process that runs nodes for another one, which does all bookkeeping: it relays events for hooks, and progress.

Nodes, catalog and data in memory travel by pipe. `Worker` is the caller's end of the pipe, `serve` the process.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import set_start_method
from multiprocessing.connection import Connection
from typing import Any

from kedro.framework.hooks.manager import _create_hook_manager
from kedro.framework.project import configure_logging
from kedro.io import CatalogProtocol
from kedro.pipeline.node import Node
from kedro.runner.task import Task
from threadpoolctl import threadpool_limits

from fieldcast.errors import InputError
from fieldcast.frame import error_messages
from fieldcast.frame.relay import Relay
from fieldcast.runtime import CONTEXT, THREADS, Progress, die_with_parent, portable, start_server, state

Listener = Callable[[str, Mapping[str, Any]], None]  # takes the name of Kedro's hook, and its arguments


@dataclass(frozen=True)
class Setting:
    """Settings that a process needs before its first node.

    Parameters
    ----------
    catalog
        The catalog, without data in memory except parameters.
    hooks
        Objects that act within the process; all other hooks receive its events.
    run_id
        Identifier of the run, for hooks.
    logging
        Configuration of the logs.
    environ
        Variables of the environment.
    threads
        Threads of the numerical libraries, unless the environment sets OMP_NUM_THREADS.
    interval
        Seconds between messages of progress.
    """

    catalog: CatalogProtocol
    hooks: list[Any]
    run_id: str | None
    logging: dict[str, Any]
    environ: dict[str, str]
    threads: int
    interval: float


class Worker:
    """A process for one node at a time, started at once; it ends with `stop`, or when this process dies."""

    def __init__(self, setting: bytes) -> None:
        """setting: the pickled Setting of the process."""
        start_server()
        self._pipe, other = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=serve, args=(other,))
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
                    raise link_causes(content)
                listener(kind, content)
        except (EOFError, ConnectionError):
            self._process.join()
            raise InputError(
                f"the process that ran {node.name} was killed (exit code {self._process.exitcode}), perhaps for lack "
                "of memory: run the same command again to resume; --runner-params max_workers=1 runs one node at a "
                "time."
            ) from None

    def stop(self) -> None:
        """Kill the process; no saved data set is partial, as each is written completely or not at all."""
        self._process.kill()
        self._process.join()


def serve(pipe: Connection) -> None:
    """Run nodes until the other end of the pipe is closed (the body of the process)."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    # semaphores of libraries then have no name, and a kill leaves none behind
    set_start_method("fork", force=True)
    lock = threading.Lock()

    def send(kind: str, content: Any) -> None:
        with lock:
            pipe.send((kind, content))

    try:
        setting: Setting = pipe.recv()
        os.environ.clear()
        os.environ.update(setting.environ)
        service = Service(setting)
        while True:
            node, inputs, outputs = pipe.recv()
            send(*service.run(node, inputs, outputs, send))
    except EOFError:
        return


class Service:
    """The process's side: runs a node, and reports its events to the other side."""

    def __init__(self, setting: Setting) -> None:
        set_threads(setting.threads)
        configure_logging(setting.logging)
        Progress.may_draw = False  # other processes write to the same terminal
        self._setting, self._catalog = setting, setting.catalog

    def run(
        self, node: Node, inputs: Mapping[str, Any], outputs: list[str], send: Callable[[str, Any], None]
    ) -> tuple[str, Any]:
        """Run a node, and `send` its events; returns `ended` and its outputs in memory, or `failed` and its error."""
        hooks = _create_hook_manager()
        for hook in (*self._setting.hooks, Relay(send)):
            hooks.register(hook)
        end = threading.Event()
        threading.Thread(target=self._report, args=(send, end), daemon=True).start()
        try:
            for name, data in inputs.items():
                self._catalog.save(name, data)
            Task(node, self._catalog, False, hooks, self._setting.run_id).execute()
            return "ended", {name: self._catalog.load(name) for name in outputs}
        except Exception as error:
            return "failed", picklable_chain(error)
        finally:
            end.set()
            for name in (*inputs, *outputs):
                self._catalog.release(name)

    def _report(self, send: Callable[[str, Any], None], end: threading.Event) -> None:
        """Send progress at intervals (the body of a thread)."""
        while not end.wait(self._setting.interval):
            send("progress", {"state": state()})


def set_threads(threads: int) -> None:
    """Set the number of threads unless the environment does: for libraries that are loaded, and those that will be."""
    os.environ.setdefault(THREADS, str(threads))
    count = int(os.environ[THREADS].partition(",")[0])
    threadpool_limits(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def picklable_chain(error: BaseException) -> list[BaseException]:
    """An error and its causes, outermost first, each without the next; the first has the traceback as a note."""
    links = [portable(link) for link in error_messages.chain(error)]
    if error_messages.sentence(error) is None:  # a fault of the program, which is shown with its traceback
        links[0].add_note("\nin another process:\n" + "".join(traceback.format_exception(error)))
    return links


def link_causes(links: list[BaseException]) -> BaseException:
    """The first of several errors, each with the next as its cause."""
    for error, cause in pairwise(links):
        error.__cause__ = cause
    return links[0]
