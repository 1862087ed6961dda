"""Tables of the page, which the template `macros.html.j2` writes."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from fieldcast.scores.bootstrap import Score
from fieldcast.scores.numbers import amount, significant, with_interval

NO_NOTES: tuple[tuple[str, str], ...] = ()


class Cell(NamedTuple):
    """A cell: its text, the number that it is sorted by, its CSS class, small lines below it (text and class)."""

    text: str = "–"
    order: float | None = None
    kind: str = ""
    notes: tuple[tuple[str, str], ...] = NO_NOTES
    title: str = ""  # shown where the pointer rests


@dataclass(frozen=True)
class Table:
    """A table that a click on a heading sorts; its first column holds names."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    kind: str = ""


class Doubt(NamedTuple):
    """A reason to distrust results: a number with its meaning. The lowest priorities and largest severities count."""

    priority: int
    number: str
    meaning: str
    severity: float = 0.0  # among doubts of one priority


def score_cell(score: Score | None, *notes: tuple[str, str], kind: str = "", sign: bool = False) -> Cell:
    """A value, its interval and notes below one another; a dash if there is no score.

    `sign`: write the plus of positive values, with two digits.
    """
    if score is None:
        return Cell()
    if math.isinf(score.value):  # a model that blew up
        return Cell(
            significant(score.value), math.copysign(sys.float_info.max, score.value), kind or "value", notes
        )
    value, low, high = with_interval(*score, digits=2 if sign else 3)
    interval = () if math.isnan(score.low) else ((f"{low} to {high}", ""),)
    plus = "+" if sign and score.value > 0 else ""
    return Cell(plus + value, score.value, kind or "value", (*interval, *notes))


def number_cell(value: float, integer: bool = False) -> Cell:
    """A number with three significant digits, or (`integer`) a count, which may be a mean over seeds."""
    finite = math.copysign(sys.float_info.max, value) if math.isinf(value) else value
    count = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    text = count if integer and math.isfinite(value) else significant(value)
    return Cell() if math.isnan(value) else Cell(text, finite)


def amount_cell(value: object) -> Cell:
    text = amount(value)
    return Cell() if text == "–" else Cell(text, float(value))  # type: ignore[arg-type]


def quality_rows(quality: pd.DataFrame) -> Table:
    names = ("check", "variable", "where", "count", "action", "sentence")
    body = [
        [
            Cell("" if pd.isna(row[name]) else str(row[name]), float(row[name]) if name == "count" else None)
            for name in names
        ]
        for _, row in quality.iterrows()
    ]
    return Table([*names[:-1], "explanation"], body, "texts")
