"""The command line of `fieldcast`, with errors as sentences; Kedro finds this module by its name, for `kedro run`."""

import atexit
import gc
import os
import sys
from types import TracebackType

import click

import fieldcast.settings  # noqa: F401  (first: it switches telemetry off)
from fieldcast.errors import InputError
from fieldcast.frame.commands.doctor import doctor
from fieldcast.frame.commands.export import export
from fieldcast.frame.commands.on_files import cycle, fill, fill_gaps, grid_stations, predict
from fieldcast.frame.commands.run import SELECTING, run
from fieldcast.frame.commands.slurm import slurm
from fieldcast.frame.error_messages import sentence
from fieldcast.frame.suggested_commands import with_options

# options of `run` that select a part of all pipelines, or name a file that may do so
SELECTIONS = tuple(
    name for option in run.params if option.name in (*SELECTING, "config") for name in option.opts
)


def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print an error that a user can fix as one sentence, any other with its traceback."""
    text = None if os.environ.get("FIELDCAST_TRACEBACK") else sentence(error)
    if text is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        click.secho(f"fieldcast: {with_options(text)}", err=True, fg="red")


class Commands(click.Group):
    """Group whose command `run` may be omitted before options, as Kedro starts packaged projects."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before its options, without a command; refuse those that select nothing, which would run all."""
        own = {name for option in self.get_params(ctx) for name in option.opts}
        bare = bool(args) and args[0].startswith("-") and args[0] not in own
        if bare and not any(selects(word) for word in args):
            raise InputError(
                f"there is no command before {args[0]}: write one, such as `fieldcast run`, which runs all "
                "pipelines; `fieldcast --help` lists them."
            )
        return super().parse_args(ctx, ["run", *args] if bare else args)


def selects(word: str) -> bool:
    """Whether a word of the command line is a selecting option, such as --tags, --tags=a, -t or -ta."""
    return word.partition("=")[0] in SELECTIONS or (word[:1] != word[1:2] and word[:2] in SELECTIONS)


@click.group(name="fieldcast", cls=Commands)
@click.version_option(package_name="fieldcast")
def cli() -> None:
    """Fill, forecast and sample gridded weather."""


for command in (run, fill, fill_gaps, grid_stations, predict, cycle, doctor, export, slurm):
    cli.add_command(command)

sys.excepthook = show
atexit.register(gc.freeze)  # else Python searches all objects for cycles before it ends: a third of a second
