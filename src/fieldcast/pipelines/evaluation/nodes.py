"""Evaluation: what an experiment leaves."""

from typing import Any


def publish(**parts: Any) -> dict[str, Any]:
    """The results of an experiment by part, without those that are empty."""
    return {part: value for part, value in parts.items() if value is not None and len(value)}
