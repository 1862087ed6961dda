"""Experiments, defined in files `conf/base/parameters/experiments/<task>/<name>.yml`: `{task: {name: ...}}`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as pydantic_dataclass

from fieldcast.arguments import nearest, validated
from fieldcast.errors import InputError

# Descriptions of experiments (`about` in their YAML files): label, family, role and order.


Family = Literal["classical", "learned", "bound"]
Needs = Literal["fields", "images", "labels"]


@pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Description:
    """Presentation of an experiment in the report, the figures, docs/experiments.md and MLflow.

    Parameters
    ----------
    label
        Its name in tables and figures; by default the name of the file.
    family
        Its style in figures: `classical` methods are muted and dashed, `learned` ones coloured. A `bound` limits the
        attainable skill and is not ranked. By default, an experiment trained by gradients is learned.
    description
        One line that explains the method.
    role
        `reference`: paired differences are relative to it. `climatology`: skill is relative to it. `bound`: the skill
        score of the RMSE is 1 for it and 0 for the reference. `baseline`: figures shade scores that are worse than
        those of the best experiment with this role or the role `climatology`. At most one reference, one climatology
        and one bound per task.
    order
        Its position in tables of experiments, which also determines its colour; experiments without it come last, by
        name.
    needs
        `fields`, `images` or `labels`: data without which the experiment has no meaning. With another
        `ingestion.source`, runs of a task, of a stage or of everything leave it out, and a run that names it is
        refused.
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


@pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Question:
    """A question about two experiments, answered by their paired difference of CRPS.

    Parameters
    ----------
    question
        The question, as the row of a table.
    experiment, reference
        Names of the experiments; the difference is that of the first minus that of the second.
    """

    question: str
    experiment: str
    reference: str


@pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Comparison:
    """A named comparison of experiments of one task: a section of the report as soon as two of them have been scored.

    Parameters
    ----------
    title
        Heading of the section.
    task
        The task of its experiments.
    experiments
        Their names, in the order of its table.
    introduction
        Text above the tables.
    questions
        Pairs of experiments, each a row of a table with the paired difference of CRPS in some cases, its interval and
        verdict.
    scores
        Columns of its table.
    equal_cost
        The experiment whose inference time sets the budget of the others, for a comparison at equal cost.
    """

    title: str
    task: str
    experiments: tuple[str, ...]
    introduction: str = ""
    questions: tuple[Question, ...] = ()
    scores: tuple[str, ...] = ("crps", "ssr")
    equal_cost: str | None = None


@pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Report:
    """A pipeline that runs the experiments of one report and ends in the page.

    Parameters
    ----------
    needs
        `fields`, `images` or `labels`: the data that it is about; on other data it is refused.
    experiments
        Addresses of its experiments.
    """

    needs: Needs
    experiments: list[str]


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
    given: Description = validated(Description, body or {}, f"experiment '{name}': about")
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
    bodies: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("*/*.yml")):
        bodies.setdefault(file.parent.name, {})[file.stem] = body_in(file, conf)
    return listed_experiments(bodies, bodies)


def listed_experiments(parameters: Mapping[str, Any], tasks: Iterable[str]) -> dict[str, Experiment]:
    """The experiments among parameters, {task: {name: body}}, by address.

    Raises InputError for one that is not described as an experiment, or uses one that does not exist.
    """
    listed = [
        experiment_of(task, str(name), body)
        for task in sorted(tasks)
        for name, body in sorted((parameters.get(task) or {}).items())
    ]
    by_address = {experiment.address: experiment for experiment in listed}
    check_uses(by_address)
    for task in sorted({experiment.task for experiment in listed}):
        roles({experiment.name: experiment.about for experiment in listed if experiment.task == task})
    return {
        address: with_uses_of_weights(experiment, by_address) for address, experiment in by_address.items()
    }


def require_options(address: str, body: Any) -> None:
    """Raise InputError for the body of an experiment that is no mapping."""
    if not isinstance(body, Mapping):
        raise InputError(
            f"{address} = {body!r}, but it holds the options of an experiment: set one of them, such as "
            f"{address}.model."
        )


def experiment_of(task: str, name: str, body: Any) -> Experiment:
    """The experiment that its body describes; raises InputError where it does not describe one."""
    where = f"{task}.{name}"
    require_options(where, body)
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


def selections(parameters: Mapping[str, Any], by_address: Mapping[str, Experiment]) -> dict[str, Selection]:
    """The pipelines that the parameters `demo`, `explore` and `reports` list, by name; none without these."""
    listed = {}
    for name in ("demo", "explore"):
        if name in parameters:
            listed[name] = Selection(_experiments(parameters[name] or [], by_address, name))
    reports = validated(dict[str, Report], parameters.get("reports") or {}, "reports")
    for name, report in reports.items():
        selected = _experiments(report.experiments, by_address, f"reports.{name}")
        listed[name] = Selection(selected, report.needs)
    return listed


def _experiments(
    addresses: Iterable[str], by_address: Mapping[str, Experiment], where: str
) -> list[Experiment]:
    for address in addresses:
        if address not in by_address:
            raise InputError(
                f"{where} lists '{address}', which is not an experiment{nearest(address, by_address)}"
            )
    return [by_address[address] for address in addresses]


def quick_experiments(conf: Path) -> list[str]:
    """Addresses of the experiments that `fieldcast explore` fits, as the file of that name says."""
    addresses: list[str] = _yaml(conf / "base" / "parameters" / "explore.yml", conf)["explore"]
    return addresses


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
    return body_in(file, conf)


def body_in(file: Path, conf: Path) -> dict[str, Any]:
    """The experiment in a file; raises InputError if it holds another one than its path names."""
    task, name, where = file.parent.name, file.stem, file.relative_to(conf.parent)
    content = _yaml(file, conf)
    body = content.get(task, {}).get(name) if isinstance(content.get(task), dict) else None
    if list(content) != [task] or list(content[task]) != [name] or not isinstance(body, dict):
        raise InputError(
            f"{where} must hold the experiment that its path names: '{task}:' and, in it, '{name}:'."
        )
    return body


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
