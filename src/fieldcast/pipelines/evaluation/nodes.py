"""Evaluation: the scores of an experiment, and what it leaves."""

from collections.abc import Callable
from typing import Any

from fieldcast.scores.statistics_table import name_rows


def score(function: Callable[..., tuple[Any, ...]], experiment: str, **inputs: Any) -> tuple[Any, ...]:
    """The results of a task's scoring, with the experiment's name in each row of the table, which is the first one."""
    scores, *others = function(**inputs)
    return name_rows(scores, experiment), *others


def publish(**parts: Any) -> dict[str, Any]:
    """The results of an experiment by part, without those that are empty."""
    return {part: value for part, value in parts.items() if value is not None and len(value)}
