"""Tables of the page: rows of cells, which the template `macros.html.j2` writes."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from fieldcast.report.board import Score
from fieldcast.report.numbers import amount, significant, with_interval

NO_WORDS: tuple[tuple[str, str], ...] = ()


class Cell(NamedTuple):
    """A cell: its text, the number that it is sorted by, its CSS class, small lines below it (text and class)."""

    text: str = "–"
    order: float | None = None
    kind: str = ""
    notes: tuple[tuple[str, str], ...] = NO_WORDS
    title: str = ""  # shown where the pointer rests


@dataclass(frozen=True)
class Table:
    """A table that a click on a heading sorts; its first column holds names."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    kind: str = ""


def score_cell(score: Score | None, *notes: tuple[str, str], kind: str = "", sign: bool = False) -> Cell:
    """A value, its interval and notes below one another; a dash where there is none.

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


def number_cell(value: float, whole: bool = False) -> Cell:
    """A number of three digits, or (`whole`, of several seeds) as few as a count needs."""
    finite = math.copysign(sys.float_info.max, value) if math.isinf(value) else value
    text = f"{value:.3g}" if whole and math.isfinite(value) else significant(value)
    return Cell() if math.isnan(value) else Cell(text, finite)


def amount_cell(value: object) -> Cell:
    """A cost."""
    text = amount(value)
    return Cell() if text == "–" else Cell(text, float(value))  # type: ignore[arg-type]


def quality_rows(quality: pd.DataFrame) -> Table:
    """Checks of the data."""
    names = ("check", "variable", "where", "count", "action", "sentence")
    rows = [
        [
            Cell("" if pd.isna(row[name]) else str(row[name]), float(row[name]) if name == "count" else None)
            for name in names
        ]
        for _, row in quality.iterrows()
    ]
    return Table([*names[:-1], "explanation"], rows, "texts")
