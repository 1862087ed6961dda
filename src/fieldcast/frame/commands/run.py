"""`run`: Kedro's, with the runners of this package, and refusals before the first node."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from fieldcast.errors import InputError
from fieldcast.frame.commands.interruption import interruptible

RUNNERS = {
    "CheapFirst": "fieldcast.frame.cheap_first.CheapFirst",
    "DaskRunner": "fieldcast.frame.runners.DaskRunner",
    "SideBySide": "fieldcast.frame.side_by_side.SideBySide",
}
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
        if "." not in runner and runner not in (*RUNNERS, *KEDRO_RUNNERS):
            raise InputError(
                f"there is no runner '{runner}'; there are {', '.join((*RUNNERS, *KEDRO_RUNNERS))}."
            )
        return command(*args, **{**options, "runner": RUNNERS.get(runner, runner)})

    return run_with


run: click.Command = copy.copy(kedro_run)
run.callback = interruptible(refuse_async(with_runners(kedro_run.callback or kedro_run)))
for option in run.params:
    if option.name == "params" and option.callback:
        option.callback = explain_commas(option.callback)
    elif option.name == "runner" and isinstance(option, click.Option):
        option.help = (
            "CheapFirst, the default; SideBySide, one node for each core; DaskRunner; or one of Kedro's."
        )
