"""The end of a command by Ctrl-C or SIGTERM."""

import functools
import signal
from collections.abc import Callable
from typing import Any

import click

from fieldcast.frame.sigterm import exit_on_sigterm


def interruptible(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command end on Ctrl-C and SIGTERM with a sentence and the exit code that shells expect, 130 or 143."""

    @functools.wraps(command)
    def run_or_stop(*args: Any, **kwargs: Any) -> Any:
        exit_on_sigterm()
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except SystemExit as end:
            if end.code != 128 + signal.SIGTERM:
                raise
            code = 128 + signal.SIGTERM
        stopped = (
            "fieldcast: stopped; run the same command again to continue after the last output that was saved."
        )
        click.secho(stopped, err=True, fg="yellow")
        raise click.exceptions.Exit(code)

    return run_or_stop
