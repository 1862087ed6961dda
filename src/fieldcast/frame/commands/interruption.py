"""The end of a command by Ctrl-C or SIGTERM."""

import functools
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import click


def interruptible(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command end on Ctrl-C and SIGTERM with a sentence and the exit code that shells expect, 130 or 143."""

    @functools.wraps(command)
    def run_or_stop(*args: Any, **kwargs: Any) -> Any:
        _exit_on_sigterm()
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except SystemExit as end:
            if end.code != 128 + signal.SIGTERM:
                raise
            code = 128 + signal.SIGTERM
        stopped = "fieldcast: stopped; the same command continues after the last output that was saved."
        click.secho(stopped, err=True, fg="yellow")
        raise click.exceptions.Exit(code)

    return run_or_stop


def _exit_on_sigterm() -> None:
    """Have SIGTERM end the process as an exception does, as batch systems send it before they kill."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, end)
