"""`run`: Kedro's, with the runners of this package, and refusals before the first node."""

import copy
import functools
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.utils import load_obj

from fieldcast.errors import InputError
from fieldcast.experiments import nearest
from fieldcast.frame.commands.interruption import interruptible
from fieldcast.frame.error_messages import NO_SELECTION

RUNNERS = {
    "CheapFirst": "fieldcast.frame.cheap_first.CheapFirst",
    "DaskRunner": "fieldcast.frame.runners.DaskRunner",
    "SideBySide": "fieldcast.frame.side_by_side.SideBySide",
}
# options that select a part of all pipelines
SELECTING = (
    "from_inputs",
    "to_outputs",
    "from_nodes",
    "to_nodes",
    "node_names",
    "tags",
    "pipeline",
    "pipelines",
    "namespaces",
)
# options with several values, separated by commas
LISTS = (*SELECTING, "load_versions", "params", "runner_params")
KEDRO_RUNNERS = ("SequentialRunner", "ThreadRunner", "ParallelRunner")


def explain_commas(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Have the parser of `--params` explain how to write a comma in a value."""

    @functools.wraps(parse)
    def parse_or_explain(*args: Any) -> Any:
        try:
            return parse(*args)
        except click.UsageError as error:
            raise InputError(
                f"--params: {error.message.rstrip('.')} (commas separate parameters: a value with a comma belongs "
                "in a file: conf/local/parameters.yml, or with --env NAME conf/NAME/parameters.yml)."
            ) from None

    return parse_or_explain


def refuse_async(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have `run` refuse `--async` before its first node."""

    @functools.wraps(command)
    def run_in_order(*args: Any, **options: Any) -> Any:
        if options.get("is_async") or (options.get("runner_params") or {}).get("is_async"):
            raise InputError(
                "--async is not supported, since training and rollouts save their steps one after another: leave it "
                "out, or run independent nodes at the same time with --runner SideBySide."
            )
        return command(*args, **options)

    return run_in_order


def with_runners(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have `run` accept the runners of this package by name, and score cheap experiments first without `--runner`."""

    @functools.wraps(command)
    def run_with(*args: Any, **options: Any) -> Any:
        runner = options.get("runner") or "CheapFirst"
        name = RUNNERS.get(runner, runner)
        check_runner(name, options.get("runner_params") or {})
        return command(*args, **{**options, "runner": name})

    return run_with


def with_old_spelling(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have `run` take `--pipeline` for `--pipelines`, without Kedro's deprecation warning."""

    @functools.wraps(command)
    def run_with(*args: Any, **options: Any) -> Any:
        if options.get("pipeline") and not options.get("pipelines"):
            names = [name.strip() for name in options["pipeline"].split(",")]
            options = {**options, "pipeline": None, "pipelines": [name for name in names if name]}
        return command(*args, **options)

    return run_with


def explain_tags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have `run` name a tag that no node has, where Kedro says that nothing is selected."""

    @functools.wraps(command)
    def run_or_explain(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except ValueError as error:
            if NO_SELECTION.match(str(error)):
                from fieldcast.frame.preflight import check_tags  # here: only this needs it

                check_tags(options.get("tags") or ())
            raise

    return run_or_explain


def check_runner(runner: str, options: Mapping[str, Any]) -> None:
    """Raise InputError for a class that does not exist, or an option of `--runner-params` that it does not take."""
    try:
        names = list(signature(load_obj(runner, "kedro.runner")).parameters)
    except (ImportError, AttributeError, ValueError):
        listed = ", ".join((*RUNNERS, *KEDRO_RUNNERS))
        raise InputError(f"there is no runner '{runner}'; there are {listed}.") from None
    for name in options:
        if name not in names:
            close = nearest(name, names)
            raise InputError(f"--runner-params {name}: {runner.rpartition('.')[2]} has no such option{close}")
    workers = options.get("max_workers")
    if workers is not None and not (type(workers) is int and workers > 0):
        raise InputError(f"--runner-params max_workers={workers}: give a whole number above 0.")


class Repeatable(click.Option):
    """An option with a list, which may be given several times: `--tags a --tags b` is `--tags a,b`."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Have the parser keep each value."""
        parser.add_option(obj=self, opts=self.opts, dest=self.name, action="append", nargs=self.nargs)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> Any:
        """Join the values of the command line."""
        given = {**opts}
        if self.name in given:
            given[self.name] = ",".join(given[self.name])
            if not given[self.name].strip(", \t"):  # as from a variable of the shell that is not set
                raise InputError(f"{self.opts[0]} is empty: name one, or leave the option out.")
        return super().consume_value(ctx, given)


def repeatable(option: click.Option) -> click.Option:
    """A copy of an option that keeps all of its values, where Kedro's keeps the last."""
    copied = copy.copy(option)
    copied.__class__ = Repeatable
    return copied


def adapted(option: click.Parameter) -> click.Parameter:
    """An option of Kedro's `run` as it is here."""
    if not isinstance(option, click.Option):
        return option
    if option.name in LISTS:
        option = repeatable(option)
    if option.name == "params" and option.callback:
        option.callback = explain_commas(option.callback)
    elif option.name == "runner":
        option = copy.copy(option)
        option.help = (
            "CheapFirst, the default; SideBySide, one node for each core; DaskRunner; or one of Kedro's."
        )
    return option


run: click.Command = copy.copy(kedro_run)
run.callback = interruptible(
    refuse_async(with_runners(with_old_spelling(explain_tags(kedro_run.callback or kedro_run))))
)
run.params = [adapted(option) for option in kedro_run.params]
