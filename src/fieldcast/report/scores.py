"""Tables of a leaderboard."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from fieldcast.figures.style import percent
from fieldcast.report.board import Board, Score
from fieldcast.report.html import Cell, Markup, join, numbers, significant, table, tag
from fieldcast.scores.leaderboard_schema import RECONSTRUCT
from fieldcast.scores.metrics import METRICS


def score_table(
    board: Board,
    score: str,
    cases: Sequence[Any],
    reference: str,
    caption: str,
    *,
    unranked: Sequence[str] = (),
) -> Markup:
    """Experiments by cases: the value, its interval, and for the CRPS how it compares with the reference.

    The best of each case is bold, `unranked` experiments (bounds) aside.
    """
    names = board.having(score, cases)
    top = {}
    for case in cases:
        found = [
            board.scores[name, case, score].value
            for name in names
            if (name, case, score) in board.scores and name not in unranked
        ]
        top[case] = METRICS[score].best(found) if found else math.nan
    body = []
    for name in names:
        line: list[Cell | str] = [Cell(tag("code", name))]
        for case in cases:
            one = board.scores.get((name, case, score))
            extra = against(board, name, case, reference) if score == "crps" else ""
            bold = one is not None and name not in unranked and one.value == top[case]
            line.append(cell(one, extra, "best" if bold else ""))
        body.append(line)
    return table(["experiment", *map(str, cases)], body, caption)


def cell(found: Score | None, extra: str = "", kind: str = "", sign: bool = False) -> Cell:
    """Value, interval and a word below one another; a dash where there is nothing."""
    if found is None:
        return Cell("–")
    if math.isinf(found.value):  # a model that blew up
        sign_of = "" if found.value > 0 else "−"
        return Cell(join([tag("span", f"{sign_of}∞"), extra]), math.copysign(sys.float_info.max, found.value))
    value, low, high = numbers(*found, digits=2 if sign else 3)
    plus = "+" if sign and found.value > 0 else ""
    inside = "" if math.isnan(found.low) else tag("small", f"{low} to {high}")
    return Cell(join([tag("span", plus + value), inside, extra]), found.value, kind)


def against(board: Board, name: str, case: Any, reference: str) -> Markup:
    """How the CRPS compares with the reference's, in words."""
    if name == reference:
        return tag("small", "reference")
    found = board.scores.get((name, case, board.difference))
    if found is None:
        return Markup("")
    word = found.verdict
    by = f" by {significant(abs(found.value), 2)}" if word in ("better", "worse") else ""
    return tag("small", word + by, class_=word.replace(" ", "-"))


def difference_table(board: Board, cases: Sequence[Any], caption: str) -> Markup:
    """Experiments by cases: CRPS minus the reference's, its interval, and what that says in a word."""
    body = []
    for name in board.having(board.difference, cases):
        found = [board.scores.get((name, case, board.difference)) for case in cases]
        words = [
            tag("small", one.verdict, class_=one.verdict.replace(" ", "-")) if one else Markup("")
            for one in found
        ]
        line = [cell(one, word, sign=True) for one, word in zip(found, words, strict=True)]
        body.append([Cell(tag("code", name)), *line])
    return table(["experiment", *map(str, cases)], body, caption) if body else Markup("")


def wide_table(board: Board) -> Markup:
    """Every score: a row for each case and experiment."""
    present = {score for _, _, score in board.scores}
    names = [score for score in RECONSTRUCT.metrics if score in present]
    head = ["experiment", "pattern", "observed", *names]
    return table(head, list(wide_rows(board, names)))


def wide_rows(board: Board, names: Sequence[str]) -> Iterator[list[Cell | str]]:
    """Rows of `wide_table`."""
    for case in (*board.cases(random=True), *board.cases(random=False)):
        for name in board.order:
            found = [board.scores.get((name, case, score)) for score in names]
            if any(found):
                values = [Cell(significant(one.value), one.value) if one else Cell("–") for one in found]
                yield [Cell(tag("code", name)), Cell(case.pattern), Cell(percent(case.k), case.k), *values]
