"""Experiments are files, `conf/base/parameters/experiments/<task>/<name>.yml`: `{task: {name: ...}}`."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fieldcast.errors import InputError

LEANING = ("weights", "base")
KEYS = ("model", "fit", "options", *LEANING)


@dataclass(frozen=True)
class Experiment:
    """One model with its training and its options, at the address `<task>.<name>`."""

    task: str
    name: str
    weights: str | None = None  # address of the experiment whose checkpoint it draws from: it trains nothing
    base: str | None = None  # address of the experiment whose checkpoint its training starts from
    file: bool = False  # its draws were made elsewhere: it trains nothing and has no checkpoint

    @property
    def address(self) -> str:
        return f"{self.task}.{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Addresses of the experiments that must have been trained before this one."""
        return tuple(address for address in (self.weights, self.base) if address)


def experiments(conf: Path) -> dict[str, Experiment]:
    """All experiments under a configuration folder, by address, in the order of the listing.

    Raises InputError where a file is not the experiment that its path says, or leans on a missing one.
    """
    folder = conf / "base" / "parameters" / "experiments"
    found = [_read(file, conf) for file in sorted(folder.glob("*/*.yml"))]
    by_address = {experiment.address: experiment for experiment in found}
    for experiment in found:
        for address in experiment.needs:
            if address not in by_address:
                raise InputError(
                    f"{experiment.address} leans on '{address}', "
                    f"which is no experiment{nearest(address, by_address)}"
                )
            if by_address[address].file:
                raise InputError(
                    f"{experiment.address} leans on '{address}', which is of type File: it has no checkpoint."
                )
        requirements(experiment, by_address)
    return by_address


def requirements(experiment: Experiment, known: Mapping[str, Experiment]) -> list[Experiment]:
    """The experiments that this one leans on, deepest first, itself last.

    Raises InputError where they lean on one another in a circle.
    """
    order: list[Experiment] = []

    def visit(one: Experiment, path: tuple[str, ...]) -> None:
        if one.address in path:
            raise InputError(
                f"experiments lean on one another in a circle: {' -> '.join((*path, one.address))}."
            )
        for address in one.needs:
            visit(known[address], (*path, one.address))
        if one not in order:
            order.append(one)

    visit(experiment, ())
    return order


def demo(conf: Path, known: Mapping[str, Experiment]) -> list[Experiment]:
    """The experiments of the demo, as `conf/base/parameters/demo.yml` lists them; none without that file."""
    file = conf / "base" / "parameters" / "demo.yml"
    listed = _yaml(file, conf).get("demo", []) if file.exists() else []
    for address in listed:
        if address not in known:
            raise InputError(
                f"{file.relative_to(conf.parent)} lists '{address}', "
                f"which is no experiment{nearest(address, known)}"
            )
    return [known[address] for address in listed]


def nearest(word: str, words: Mapping[str, Any] | list[str]) -> str:
    """The end of a sentence about an unknown word: '; did you mean this or that?', or a full stop."""
    close = difflib.get_close_matches(word, list(words), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else "."


def _read(file: Path, conf: Path) -> Experiment:
    task, name, where = file.parent.name, file.stem, file.relative_to(conf.parent)
    content = _yaml(file, conf)
    body = content.get(task, {}).get(name) if isinstance(content.get(task), dict) else None
    if list(content) != [task] or list(content[task]) != [name] or not isinstance(body, dict):
        raise InputError(
            f"{where} must hold the experiment that its path names: '{task}:' and, in it, '{name}:'."
        )
    for key in body:
        if key not in KEYS:
            raise InputError(f"{where}: an experiment has no key '{key}'{nearest(str(key), list(KEYS))}")
    if "_" in task:
        raise InputError(
            f"{where}: a task's name holds no underscore, or '{task}_{name}_scores' could be read two ways."
        )
    model = body.get("model")
    elsewhere = isinstance(model, Mapping) and model.get("type") == "File"
    if elsewhere and any(key in body for key in LEANING):
        raise InputError(
            f"{where}: an experiment of type File is made elsewhere: it has no weights and no base."
        )
    return Experiment(task, name, body.get("weights"), body.get("base"), elsewhere)


def _yaml(file: Path, conf: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise InputError(
            f"{file.relative_to(conf.parent)}{line} is not valid YAML: {getattr(error, 'problem', error)}."
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{file.relative_to(conf.parent)} is empty or is not a mapping of keys to values.")
    return content
