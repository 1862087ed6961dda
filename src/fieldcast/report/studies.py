"""Named studies: questions and the experiments that answer them, as listed in `studies.yml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from fieldcast.errors import InputError


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Question:
    """A question about two experiments, answered by their paired difference of CRPS."""

    question: str
    experiment: str
    reference: str


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Study:
    """A comparison of experiments of one task, as a section of the report.

    Parameters
    ----------
    title
        Heading of the section.
    task
        The task of its experiments.
    experiments
        Their names, in the order of its table.
    introduction
        Text at the head of the section.
    questions
        Pairs of experiments to compare.
    scores
        Columns of its table.
    equal_cost
        The experiment whose inference time the others are given, for a comparison at equal cost.
    """

    title: str
    task: str
    experiments: tuple[str, ...]
    introduction: str = ""
    questions: tuple[Question, ...] = ()
    scores: tuple[str, ...] = ("crps", "ssr")
    equal_cost: str | None = None


def studies(given: Iterable[Mapping[str, Any]]) -> list[Study]:
    """The studies that `studies.yml` lists.

    Raises InputError for an invalid key or value.
    """
    try:
        valid: list[Study] = TypeAdapter(list[Study]).validate_python(list(given))
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"studies.{'.'.join(map(str, first['loc']))} is invalid: {first['msg'].lower()}."
        ) from error
    return valid
