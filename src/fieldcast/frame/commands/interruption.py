"""The end of a command by Ctrl-C or SIGTERM."""

import functools
import signal
from collections.abc import Callable
from typing import Any

import click

from fieldcast.frame.error_messages import chain
from fieldcast.frame.sigterm import exit_on_sigterm


def signal_code(error: BaseException) -> int | None:
    """Exit code of the signal that raised an exception; None for other exceptions."""
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    stopped = isinstance(error, SystemExit) and error.code == 128 + signal.SIGTERM
    return 128 + signal.SIGTERM if stopped else None


def interruptible(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command end on Ctrl-C and SIGTERM with a sentence and the exit code that shells expect, 130 or 143."""

    @functools.wraps(command)
    def run_or_stop(*args: Any, **kwargs: Any) -> Any:
        exit_on_sigterm()
        try:
            return command(*args, **kwargs)
        except BaseException as error:
            # a library whose clean-up a signal interrupted may raise an error of its own instead
            codes = [code for link in chain(error) if (code := signal_code(link))]
            if not codes:
                raise
            code = codes[-1]
        stopped = (
            "fieldcast: stopped; run the same command again to continue after the last output that was saved."
        )
        click.secho(stopped, err=True, fg="yellow")
        raise click.exceptions.Exit(code)

    return run_or_stop
