"""Evaluation: the scores of an experiment, and what it leaves."""

from collections.abc import Callable
from typing import Any

from fieldcast.scores.statistics_table import name_rows


def score(function: Callable[..., tuple[Any, ...]], experiment: str, **inputs: Any) -> tuple[Any, ...]:
    """Results of a task's `score`; each row of the first, the table of scores, is given the experiment's name."""
    scores, *others = function(**inputs)
    return name_rows(scores, experiment), *others


def publish(**parts: Any) -> dict[str, Any]:
    """The results of an experiment by part, without those that are empty."""
    return {part: value for part, value in parts.items() if value is not None and len(value)}
