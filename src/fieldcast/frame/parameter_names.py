"""Names of parameters, and refusals of those that nothing would read."""

import re
from collections.abc import Collection, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from fieldcast import pipeline_registry
from fieldcast.errors import InputError
from fieldcast.experiments import Experiment, nearest
from fieldcast.frame.parameter_types import annotated_types, listed_types

REFERENCE = re.compile(r"runtime_params:\s*([\w.]+)")
SECOND = re.compile(r"\s([\w.]+)\s*[=:]")  # a parameter after a blank


def options_of(experiment: Experiment, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an experiment; InputError if they, or those of its task, are not named values."""
    task_body = parameters.get(experiment.task, {})
    if not isinstance(task_body, Mapping):
        raise InputError(
            f"{experiment.task} = {task_body!r}, but it holds the experiments of a task: set an option of one, "
            f"such as {experiment.address}.model."
        )
    body = task_body.get(experiment.name, {})
    if not isinstance(body, dict):
        raise InputError(
            f"{experiment.address} = {body!r}, but it holds the options of an experiment: set one of them, "
            f"such as {experiment.address}.model."
        )
    return body


def check_parameter_files(loader: Any) -> None:
    """Raise InputError for a section or an experiment in a file of the environment that nothing would read.

    A section unlike all of `base` may belong to a pipeline of the user.
    """
    environment = loader.env or loader.default_run_env
    parameter_files = list(loader.parameter_files(environment)) if environment != loader.base_env else []
    if not any(content for _, content in parameter_files):
        return
    sections = sorted({name for _, content in loader.parameter_files(loader.base_env) for name in content})
    listed = pipeline_registry.listed_experiments().values()
    by_task = {task: [each.name for each in listed if each.task == task] for task in {e.task for e in listed}}
    for file, content in parameter_files:
        for section, body in content.items():
            if section not in sections and (close := nearest(str(section), sections)) != ".":
                raise InputError(f"{file}, {section}: there is no such parameter{close}")
            for name in body if section in by_task and isinstance(body, Mapping) else ():
                if name not in by_task[section]:
                    close = nearest(str(name), by_task[section], f"{section}.")
                    raise InputError(f"{file}, {section}.{name}: there is no such experiment{close}")


def check_keys(overrides: Mapping[str, Any], configured: Mapping[str, Any], conf: Path) -> None:
    """Raise InputError for a run-time parameter (dotted name) that nothing would read, or whose value holds another."""
    names = {*configured, *_referenced(conf)}
    listed, annotated = cache(partial(listed_types, conf)), cache(annotated_types)
    for key, value in overrides.items():
        refuse_blank(key, value, names)
        if key in names:
            continue
        levels = key.split(".")
        prefixes = [".".join(levels[: n + 1]) for n in range(len(levels))]
        is_section = any(name.startswith(f"{key}.") for name in names)
        is_model_option = levels[2:3] == ["model"] and any(
            name.startswith(f"{prefixes[1]}.") for name in names
        )
        open_ended = any(configured.get(prefix, "") in (None, {}) for prefix in prefixes) or is_model_option
        if is_section or open_ended or any(prefix in listed() for prefix in prefixes):
            continue
        if any(prefix in annotated() for prefix in prefixes):
            continue
        raise InputError(f"--params {key}: there is no such parameter{nearest_key(key, names)}")


def refuse_blank(key: str, value: Any, names: Collection[str]) -> None:
    """Raise InputError if the value of a run-time parameter holds a second parameter, after a blank."""
    for second in SECOND.findall(value) if isinstance(value, str) else ():
        if second in names:
            raise InputError(f"--params {key}={value}: write a comma, not a blank, before {second}.")


def nearest_key(key: str, names: Collection[str]) -> str:
    """End of a sentence about an unknown parameter: names like its first unknown part, or else like the whole."""
    prefix = ""
    for part in key.split("."):
        parts = sorted(
            {name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)}
        )
        if part not in parts:
            close = nearest(part, parts, prefix)
            return close if close != "." else nearest(key, sorted(names))
        prefix += f"{part}."
    return "."


def _referenced(conf: Path) -> set[str]:
    """Collect the names that configuration files take from the command line: `${runtime_params:data_root,...}`."""
    files = [file for file in conf.glob("*/**/*.yml") if file.is_file()]
    return {name for file in files for name in REFERENCE.findall(file.read_text(encoding="utf-8"))}
