"""The `kedro run` command with errors as sentences; Kedro finds this module by its name."""

import copy
import functools
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

import fieldcast.settings  # noqa: F401  (first: it switches telemetry off)
from fieldcast.frame.error_messages import sentence


def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print an error that a user can fix as one sentence, any other with its traceback."""
    text = None if os.environ.get("FIELDCAST_TRACEBACK") else sentence(error)
    if text is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        click.secho(f"fieldcast: {text}", err=True, fg="red")


def interruptible(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command end on Ctrl-C with a sentence and the exit code 130 that shells expect."""

    @functools.wraps(command)
    def run_or_stop(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            click.secho(
                "fieldcast: stopped; run the same command again to resume from what has been saved.",
                err=True,
                fg="yellow",
            )
            raise click.exceptions.Exit(130) from None

    return run_or_stop


@click.group(name="fieldcast")
def cli() -> None:
    """Fill, forecast and sample gridded weather."""


run: click.Command = copy.copy(kedro_run)
run.callback = interruptible(kedro_run.callback or kedro_run)
cli.add_command(run)
sys.excepthook = show
