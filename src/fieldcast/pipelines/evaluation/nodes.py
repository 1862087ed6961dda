"""Evaluation: the scores of an experiment, and its results for reporting."""

from collections.abc import Callable
from typing import Any

from fieldcast.scores.statistics_table import name_rows


def score(function: Callable[..., tuple[Any, ...]], experiment: str, **inputs: Any) -> tuple[Any, ...]:
    """Results of a task's `score`; each row of the first, the table of scores, is given the experiment's name."""
    scores, *others = function(**inputs)
    return name_rows(scores, experiment), *others


def publish(**outputs: Any) -> dict[str, Any]:
    """The results of an experiment by name, without empty ones."""
    return {name: value for name, value in outputs.items() if value is not None and len(value)}
