"""Tables of a leaderboard."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from ..plots.style import percent
from .html import Cell, Markup, join, numbers, significant, table, tag

ALL_SCORES = (
    *("rmse", "mae", "bias", "ssim", "crps", "crps_minus_oi", "ssr"),
    *("coverage50", "coverage90", "consistency"),
)
DIFFERENCE = "crps_minus_oi"


class Case(NamedTuple):
    """What was observed."""

    pattern: str
    k: float


class Score(NamedTuple):
    """A value and its 95 % interval, which may be NaN."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Of a paired difference of which less is better."""
        if math.isnan(self.low) or math.isnan(self.high):
            return "no interval"
        return "better" if self.high < 0 else "worse" if self.low > 0 else "not separated"


@dataclass(frozen=True)
class Board:
    """The scores of one variable (or "all") on one kind of cells; of several seeds the mean."""

    leaderboard: pd.DataFrame
    cells: str = "unobserved"
    variable: str = "all"

    @cached_property
    def rows(self) -> pd.DataFrame:
        """experiment, pattern, k, score, value, low, high."""
        board = self.leaderboard
        rows = board[(board["cells"] == self.cells) & (board["variable"] == self.variable)]
        by = ["experiment", "pattern", "k", "score"]
        return rows.groupby(by, as_index=False, sort=False)[["value", "low", "high"]].mean()

    @cached_property
    def scores(self) -> Mapping[tuple[str, Case, str], Score]:
        """By experiment, case and name of the score; a score that is NaN is not there."""
        columns = ("experiment", "pattern", "k", "score", "value", "low", "high")
        listed = zip(*(self.rows[name].tolist() for name in columns), strict=True)
        return {
            (experiment, Case(pattern, k), score): Score(value, low, high)
            for experiment, pattern, k, score, value, low, high in listed
            if not math.isnan(value)
        }

    @cached_property
    def order(self) -> list[str]:
        """Experiments by their mean CRPS over the cases that all have; those without any come last."""
        crps = self.rows[self.rows["score"] == "crps"]
        wide = crps.pivot_table(index="experiment", columns=["pattern", "k"], values="value")
        shared = wide.dropna(axis="columns")
        ranked = (shared if shared.shape[1] else wide).mean(axis=1).sort_values(kind="stable")
        return [
            *ranked.index,
            *(name for name in self.rows["experiment"].unique() if name not in ranked.index),
        ]

    def cases(self, random: bool) -> list[Case]:
        """Those of pattern random, by k; or those of the others."""
        found = {case for _, case, _ in self.scores if (case.pattern == "random") == random}
        return sorted(found)

    def having(self, score: str, cases: Sequence[Case]) -> list[str]:
        """Experiments with this score in any of the cases, in order."""
        return [name for name in self.order if any((name, case, score) in self.scores for case in cases)]


def headings(cases: Sequence[Case]) -> list[str]:
    """Of columns; the pattern is named unless it is random."""
    return [percent(k) if pattern == "random" else f"{pattern}, {percent(k)}" for pattern, k in cases]


def score_table(board: Board, score: str, cases: Sequence[Case], reference: str, caption: str) -> Markup:
    """Experiments by cases: the value, its interval, and for the CRPS how it compares with the reference."""
    names = board.having(score, cases)
    lowest = {
        case: min(
            board.scores[name, case, score].value for name in names if (name, case, score) in board.scores
        )
        for case in cases
        if any((name, case, score) in board.scores for name in names)
    }
    body = []
    for name in names:
        line: list[Cell | str] = [Cell(tag("code", name))]
        for case in cases:
            found = board.scores.get((name, case, score))
            extra = against(board, name, case, reference) if score == "crps" else ""
            line.append(cell(found, extra, "best" if found and found.value == lowest[case] else ""))
        body.append(line)
    return table(["experiment", *headings(cases)], body, caption)


def cell(found: Score | None, extra: str = "", kind: str = "", sign: bool = False) -> Cell:
    """Value, interval and a word below one another; a dash where there is nothing."""
    if found is None:
        return Cell("–")
    value, low, high = numbers(*found, digits=2 if sign else 3)
    plus = "+" if sign and found.value > 0 else ""
    inside = "" if math.isnan(found.low) else tag("small", f"{low} to {high}")
    return Cell(join([tag("span", plus + value), inside, extra]), found.value, kind)


def against(board: Board, name: str, case: Case, reference: str) -> Markup:
    """How the CRPS compares with the reference's, in words."""
    if name == reference:
        return tag("small", "reference")
    found = board.scores.get((name, case, DIFFERENCE))
    if found is None:
        return Markup("")
    word = found.verdict
    by = f" by {significant(abs(found.value), 2)}" if word in ("better", "worse") else ""
    return tag("small", word + by, class_=word.replace(" ", "-"))


def difference_table(board: Board, cases: Sequence[Case], caption: str) -> Markup:
    """Experiments by cases: CRPS minus the reference's, its interval, and what that says in a word."""
    body = []
    for name in board.having(DIFFERENCE, cases):
        found = [board.scores.get((name, case, DIFFERENCE)) for case in cases]
        words = [
            tag("small", one.verdict, class_=one.verdict.replace(" ", "-")) if one else Markup("")
            for one in found
        ]
        line = [cell(one, word, sign=True) for one, word in zip(found, words, strict=True)]
        body.append([Cell(tag("code", name)), *line])
    return table(["experiment", *headings(cases)], body, caption) if body else Markup("")


def wide_table(board: Board) -> Markup:
    """Every score: a row for each case and experiment."""
    present = {score for _, _, score in board.scores}
    names = [score for score in ALL_SCORES if score in present]
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
