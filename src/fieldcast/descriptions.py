"""Descriptions of experiments (`about` in their YAML files): label, family, role and order."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from fieldcast.errors import InputError

Family = Literal["classical", "learned", "bound"]
Needs = Literal["fields", "images", "labels"]


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class About:
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


def descriptions(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, About]:
    """Descriptions of the experiments of a task, in order; a missing label is the experiment's name.

    `bodies` are the experiments of one task as parameters: {name: {about, model, fit, ...}}.
    """
    given = {name: description_of(name, body.get("about")) for name, body in bodies.items()}
    return dict(sorted(given.items(), key=lambda item: sort_key(*item)))


def description_of(name: str, body: Mapping[str, Any] | None) -> About:
    """Description from a YAML file; a missing label is the experiment's name.

    Raises InputError for an invalid key or value.
    """
    try:
        given: About = TypeAdapter(About).validate_python(dict(body or {}))
    except (ValidationError, TypeError, ValueError) as error:
        key, reason = "about", str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            key, reason = ".".join(map(str, ("about", *first["loc"]))), str(first["msg"])
        raise InputError(f"experiment '{name}': {key} is invalid: {reason.lower()}.") from error
    return replace(given, label=given.label or name)


def sort_key(name: str, description: About) -> tuple[bool, int, str]:
    """Sort key of an experiment: its order, or its name if it has none."""
    return description.order is None, description.order or 0, name


def roles(abouts: Mapping[str, About]) -> dict[str, str]:
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
