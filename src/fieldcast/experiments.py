"""Experiments, defined in files `conf/base/parameters/experiments/<task>/<name>.yml`: `{task: {name: ...}}`."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from fieldcast.errors import InputError

# Descriptions of experiments (`about` in their YAML files): label, family, role and order.


Family = Literal["classical", "learned", "bound"]
Needs = Literal["fields", "images", "labels"]


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class Description:
    """Description of an experiment for the report, the figures, docs/experiments.md and MLflow.

    Parameters
    ----------
    label
        Its title in tables and figures; by default the name of the experiment.
    family
        Its style in figures: `classical` methods are muted and dashed, `learned` ones coloured. A `bound` limits the
        attainable skill and is not ranked. By default, an experiment trained by gradients is learned.
    description
        One line that explains the method.
    role
        `reference`: paired differences are relative to it. `climatology`: skill is relative to it. `bound`: the skill
        score of the RMSE is 1 there. `baseline`: it is free, so figures shade worse scores. At most one
        reference, one climatology and one bound per task.
    order
        Place in tables of experiments and in the colours of its family; experiments without it come last, by name.
    needs
        Data without which it has no meaning. With other data, runs of several experiments leave it out, and a run that
        names it is refused.
    """

    label: str = ""
    family: Family | None = None
    description: str = ""
    role: Literal["reference", "climatology", "bound", "baseline"] | None = None
    order: int | None = None
    needs: Needs | None = None

    def family_or_default(self, *, learned: bool) -> Family:
        """The family; by default `learned` for an experiment trained by gradients, else `classical`."""
        return self.family or ("learned" if learned else "classical")


def descriptions(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Description]:
    """Descriptions of the experiments of a task, in order; a missing label is the experiment's name.

    `bodies` are the experiments of one task as parameters: {name: {about, model, fit, ...}}.
    """
    given = {name: description_of(name, body.get("about")) for name, body in bodies.items()}
    return dict(sorted(given.items(), key=lambda item: sort_key(*item)))


def description_of(name: str, body: Mapping[str, Any] | None) -> Description:
    """Description from a YAML file; a missing label is the experiment's name.

    Raises InputError for an invalid key or value.
    """
    try:
        given: Description = TypeAdapter(Description).validate_python(dict(body or {}))
    except (ValidationError, TypeError, ValueError) as error:
        key, reason = "about", str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            key, reason = ".".join(map(str, ("about", *first["loc"]))), str(first["msg"])
        raise InputError(f"experiment '{name}': {key} is invalid: {reason.lower()}.") from error
    return replace(given, label=given.label or name)


def sort_key(name: str, description: Description) -> tuple[bool, int, str]:
    """Sort key of an experiment: its order, or its name if it has none."""
    return description.order is None, description.order or 0, name


def roles(abouts: Mapping[str, Description]) -> dict[str, str]:
    """Experiments with the roles `reference`, `climatology` and `bound`, by role.

    Raises InputError where two experiments of a task claim the same one.
    """
    held: dict[str, str] = {}
    for name, description in abouts.items():
        if description.role in ("reference", "climatology", "bound"):
            if description.role in held:
                raise InputError(
                    f"experiments '{held[description.role]}' and '{name}' are both the {description.role} of their "
                    f"task (about.role): remove the role from one of them."
                )
            held[description.role] = name
    return held


YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the loader of libyaml is ten times as fast
UNKNOWN_TAG = re.compile(r"could not determine a constructor for the tag ('.*')")
KEYS = ("about", "model", "fit", "options", "uses")
DATA = get_args(Needs)  # what an experiment or a report may need


@dataclass(frozen=True)
class Experiment:
    """One model with its training and its options, at the address `<task>.<name>`.

    Parameters
    ----------
    task, name
        The two parts of the address.
    uses
        Addresses of the experiments whose checkpoints it uses, by role.
    file
        Whether its draws were made elsewhere: then it trains nothing and has no checkpoint.
    about
        Its label, family and description.
    """

    task: str
    name: str
    uses: Mapping[str, str] = field(default_factory=dict)
    file: bool = False
    about: Description = field(default_factory=Description)

    @property
    def address(self) -> str:
        """Task and name, as `task.name`."""
        return f"{self.task}.{self.name}"

    @property
    def trains(self) -> bool:
        """Whether the experiment is trained and has its own checkpoint."""
        return not (self.file or "weights" in self.uses)

    @property
    def draws_from(self) -> str:
        """Address of the experiment whose checkpoint provides the weights."""
        return self.uses.get("weights", self.address)


def experiments(conf: Path) -> dict[str, Experiment]:
    """Read all experiments in a configuration folder, by address.

    Raises InputError where a file is not the experiment that its path says, or uses one that does not exist.
    """
    folder = conf / "base" / "parameters" / "experiments"
    listed = [_read(file, conf) for file in sorted(folder.glob("*/*.yml"))]
    by_address = {experiment.address: experiment for experiment in listed}
    check_uses(by_address)
    for task in sorted({experiment.task for experiment in listed}):
        roles({experiment.name: experiment.about for experiment in listed if experiment.task == task})
    return {
        address: with_uses_of_weights(experiment, by_address) for address, experiment in by_address.items()
    }


def check_uses(by_address: Mapping[str, Experiment]) -> None:
    """Raise InputError for an experiment that uses a missing or untrained one, or itself in a circle."""
    for experiment in by_address.values():
        for role, address in experiment.uses.items():
            if address not in by_address:
                raise InputError(
                    f"{experiment.address}: uses.{role} names '{address}', "
                    f"which is not an experiment{nearest(address, by_address)}"
                )
            if not by_address[address].trains:
                raise InputError(
                    f"{experiment.address}: uses.{role} names '{address}', which is not trained and so has no "
                    "checkpoint: name the experiment that trains it."
                )
        requirements(experiment, by_address)


def with_uses_of_weights(experiment: Experiment, by_address: Mapping[str, Experiment]) -> Experiment:
    """The experiment with the `uses` of the experiment whose weights it draws with added to its own."""
    return replace(experiment, uses={**by_address[experiment.draws_from].uses, **experiment.uses})


def tables(by_address: Mapping[str, Experiment]) -> Iterator[str]:
    """Markdown tables of the experiments of each task: name, label, description."""
    for task in dict.fromkeys(experiment.task for experiment in by_address.values()):
        of_task = [experiment for experiment in by_address.values() if experiment.task == task]
        lines = [f"| `{task}.` | in figures | what it is |", "|---|---|---|"]
        for experiment in sorted(of_task, key=lambda listed: sort_key(listed.name, listed.about)):
            text = experiment.about
            lines.append(f"| `{experiment.name}` | {text.label or experiment.name} | {text.description} |")
        yield "\n".join(lines)


def requirements(experiment: Experiment, by_address: Mapping[str, Experiment]) -> list[Experiment]:
    """The experiments whose checkpoints this one uses, deepest first, itself last.

    Raises InputError where they use one another in a circle.
    """
    order: list[Experiment] = []

    def visit(user: Experiment, path: tuple[str, ...]) -> None:
        if user.address in path:
            raise InputError(
                f"experiments use one another in a circle: {' -> '.join((*path, user.address))}."
            )
        for address in user.uses.values():
            visit(by_address[address], (*path, user.address))
        if user not in order:
            order.append(user)

    visit(experiment, ())
    return order


class Selection(NamedTuple):
    """Experiments that a pipeline runs together, and the data that they are about."""

    experiments: list[Experiment]
    needs: Needs | None = None


def selections(conf: Path, by_address: Mapping[str, Experiment]) -> dict[str, Selection]:
    """The pipelines that `conf/base/parameters/demo.yml` and `reports.yml` list, by name; none without these files."""
    folder, listed = conf / "base" / "parameters", {}
    file = folder / "demo.yml"
    if file.exists():
        addresses = _yaml(file, conf).get("demo", [])
        listed["demo"] = Selection(_experiments(addresses, by_address, file.relative_to(conf.parent)))
    file = folder / "reports.yml"
    for name, body in (_yaml(file, conf).get("reports", {}) if file.exists() else {}).items():
        if (
            not isinstance(body, Mapping)
            or set(body) != {"needs", "experiments"}
            or body["needs"] not in DATA
        ):
            raise InputError(
                f"{file.relative_to(conf.parent)}: {name} must give the experiments of a report, and as its needs "
                f"{' or '.join(DATA)}."
            )
        selected = _experiments(body["experiments"], by_address, file.relative_to(conf.parent))
        listed[name] = Selection(selected, body["needs"])
    return listed


def _experiments(
    addresses: Iterable[str], by_address: Mapping[str, Experiment], where: Path
) -> list[Experiment]:
    for address in addresses:
        if address not in by_address:
            raise InputError(
                f"{where} lists '{address}', which is not an experiment{nearest(address, by_address)}"
            )
    return [by_address[address] for address in addresses]


def nearest(word: str, options: Mapping[str, Any] | list[str], section: str = "") -> str:
    """End of a sentence about an unknown name: '; did you mean this or that?', or a full stop.

    `section` begins the names in the sentence, such as `ingestion.`
    """
    close = difflib.get_close_matches(word, list(options), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(section + name for name in close)}?" if close else "."


def yaml_fault(error: yaml.YAMLError) -> str:
    """End of a sentence about a file that YAML cannot read: the line, the reason and the remedy."""
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}," if mark else ""
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    if isinstance(error, yaml.constructor.ConstructorError) and (tag := UNKNOWN_TAG.search(problem)):
        return f"{line} has the YAML tag {tag[1]}, which no file of configuration may use: remove it."
    return f"{line} is not valid YAML ({problem}): correct it."


def body_of(conf: Path, address: str) -> dict[str, Any]:
    """The experiment at an address as its YAML file says: {about, model, fit, ...}.

    Raises InputError if there is no such experiment.
    """
    task, _, name = address.partition(".")
    folder = conf / "base" / "parameters" / "experiments"
    file = folder / task / f"{name}.yml"
    if not file.is_file():
        addresses = [f"{path.parent.name}.{path.stem}" for path in folder.glob("*/*.yml")]
        raise InputError(f"there is no experiment '{address}' in {conf}{nearest(address, addresses)}")
    _read(file, conf)
    body: dict[str, Any] = _yaml(file, conf)[task][name]
    return body


def _read(file: Path, conf: Path) -> Experiment:
    status = file.stat()
    return _parsed(file, conf, status.st_mtime_ns, status.st_size)


@cache  # a run lists its experiments several times
def _parsed(file: Path, conf: Path, *state: int) -> Experiment:
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
            f"{where}: a task's name must not contain an underscore: rename the folder, and the key in its files."
        )
    model = body.get("model")
    elsewhere = isinstance(model, Mapping) and model.get("type") == "File"
    uses = body.get("uses") or {}
    if not isinstance(uses, Mapping) or not all(isinstance(address, str) for address in uses.values()):
        raise InputError(
            f"{where}: uses = {uses!r} must give each role an experiment, as in {{weights: {task}.other}}."
        )
    if elsewhere and uses:
        raise InputError(
            f"{where}: an experiment of type File is made elsewhere, so it uses no checkpoint: leave out 'uses'."
        )
    return Experiment(task, name, dict(uses), elsewhere, description_of(name, body.get("about")))


def _yaml(file: Path, conf: Path) -> dict[str, Any]:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), YAML_LOADER)
    except yaml.YAMLError as error:
        raise InputError(f"{file.relative_to(conf.parent)}{yaml_fault(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file.relative_to(conf.parent)} is empty or is not a mapping of keys to values.")
    return content


if __name__ == "__main__":  # python -m fieldcast.experiments: the tables of docs/experiments.md
    sys.stdout.write("\n\n".join(tables(experiments(Path("conf")))) + "\n")
