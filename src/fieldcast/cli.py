"""The commands of this project beside Kedro's, and the errors that a user can cause as sentences, for all commands.

Kedro finds this module by its name; `fieldcast` and `python -m fieldcast` are the same group with Kedro's `run` in it.
"""

import os
import sys
from types import TracebackType

import click
from kedro.framework.cli.project import run

import fieldcast.settings  # noqa: F401  (first: it switches telemetry off)
from fieldcast.app.commands import doctor, explore, export, file_commands, train
from fieldcast.app.conf_source import with_options
from fieldcast.app.error_messages import chain, refusal_of_kedro, sentence


def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print an error that a user can fix as one sentence, any other with its traceback.

    Python calls this function for each error that ends a command. A signal has printed its sentence already: only its
    exit code is left, also where the clean-up of a library has raised an error of its own.
    """
    for link in chain(error):
        if isinstance(link, SystemExit):
            raise link
    text = None if os.environ.get("FIELDCAST_TRACEBACK") else sentence(error) or refusal_of_kedro(error)
    if text is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        click.secho(f"fieldcast: {with_options(text)}", err=True, fg="red")


@click.group(name="fieldcast")
@click.version_option(package_name="fieldcast")
def cli() -> None:
    """Fill, forecast and sample gridded weather."""


for command in (explore, train, run, *file_commands(), doctor, export):
    cli.add_command(command)

sys.excepthook = show
