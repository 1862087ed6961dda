"""A thread that runs actions one after another and keeps track of those that failed."""

import functools
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

MAX_FAILURES = 3  # failures in a row after which no more actions are done
MAX_LISTED = 10  # contents that a sentence names, at most


class Background(threading.Thread):
    """Runs actions in the order of submission; warnings name what each of them records.

    After three failures in a row, or one while opening, it drops everything that follows.
    """

    def __init__(self, name: str) -> None:
        super().__init__(daemon=True, name=name)
        self._actions: queue.Queue[tuple[str, Callable[[], None]] | None] = queue.Queue()
        self._current = ""  # the content being written
        self._lost: list[str] = []  # contents that failed or were dropped
        self.first_error = ""
        self.is_open = False
        self._is_closing = False  # drop everything that waits
        self._failures = 0
        self._process = os.getpid()

    @property
    def is_ours(self) -> bool:
        """Whether this process has started the thread: a forked process has not."""
        return os.getpid() == self._process

    def open(self) -> None:
        """Prepare the resources of all actions."""

    def refuse(self) -> None:
        """Report that `open` has failed."""

    def content(self, action: str, *args: Any) -> str:
        """Name what an action records; empty if nothing."""
        return action

    def submit(self, action: Callable[..., None], *args: Any) -> None:
        """Queue an action of this thread; a forked process queues nothing, because its parent does."""
        if self.is_ours:
            self._actions.put((self.content(action.__name__, *args), functools.partial(action, *args)))

    def drain(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until all actions are done."""
        self._actions.put(None)
        self.join(timeout)

    def settle(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until all actions submitted so far are done or lost."""
        end = time.monotonic() + timeout
        while self.is_alive() and time.monotonic() < end and self._actions.unfinished_tasks:
            time.sleep(0.02)

    def drop(self) -> None:
        """Drop all further actions."""
        self._is_closing = True

    def unwritten(self) -> list[str]:
        """List the contents that were lost, that are being written, and that wait."""
        waiting = [entry[0] for entry in list(self._actions.queue) if entry]
        return [content for content in dict.fromkeys([*self._lost, self._current, *waiting]) if content]

    def run(self) -> None:
        """Open, then do each action in turn (the body of the thread)."""
        self.is_open = self._succeeds(self.open)
        if not self.is_open and not self._is_closing:
            self.refuse()
        while (entry := self._actions.get()) is not None:
            self._current, action = entry
            goes_on = self.is_open and self._failures < MAX_FAILURES and not self._is_closing
            if not (goes_on and self._succeeds(action)):
                self._lost.append(self._current)
            self._current = ""
            self._actions.task_done()

    def _succeeds(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:
            self._failures += 1
            self.first_error = self.first_error or _in_one_line(error)
            return False
        self._failures = 0
        return True


def shorten(names: list[str], limit: int = MAX_LISTED) -> str:
    """Join the first names of a list, with the number of further ones."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
