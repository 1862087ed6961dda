"""The first screen: the best experiment of each task beside the next best, and what to distrust."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator

import numpy as np

from fieldcast.report.results import Results
from fieldcast.report.score_tables import paired_differences
from fieldcast.report.tables import Cell, Doubt, Table, score_cell
from fieldcast.scores.bootstrap import Score
from fieldcast.scores.held_out import NOMINAL_COVERAGE

HEADS = ("task", "best", "its score", "runner-up", "difference", "spread-skill ratio")
EXPLANATIONS = (
    "Best and runner-up have the lowest fair CRPS, the error of a whole ensemble in standard deviations of the "
    "anomalies, or the lowest FID, the distance of samples from real data; bounds are left out.",
    "The difference is the runner-up’s score minus the best’s, with the 95 % interval of times paired: where the "
    "interval contains zero, either may be better.",
    "The spread-skill ratio of the best is the spread of its members divided by the error of their mean: 1 is right, "
    "below 1 it is overconfident.",
)
MAX_DOUBTS = 3
WRONG_SPREAD = 1.5  # factor between spread and error beyond which the one says little about the other
WRONG_COVERAGE = 0.05  # departure of the coverage of intervals of 90 % that matters
MIN_INITIAL_TIMES = 10  # initial times that a trusted ranking needs
# priorities of doubts, which are at most one each
SHORT_RECORD, FEW_TIMES, SPREAD, COVERAGE, RECOGNISED, IMPOSSIBLE, ROLLOUTS, ONE_SEED = range(8)
# attribute of diagnostics: share of draws outside a variable's range, by name
OUTSIDE_RANGE = "outside_range"


def leaders_table(tasks: Iterable[Results]) -> Table:
    """A row for each task that has scores."""
    return Table(HEADS, [row for results in tasks for row in leader_rows(results)], "texts")


def leader_rows(results: Results) -> Iterator[list[Cell]]:
    """The best and the next experiment in the case of the first screen; nothing without scores."""
    if not results.leaders:
        return
    board, case = results.board, results.first_case
    best, *others = results.leaders
    scores = [board.scores[name, case, board.ranking] for name in (best, *others[:1])]
    difference = None
    if others:
        paired = paired_differences(results, others[0], best, [case]) if board.ranking == "crps" else {}
        difference = paired.get(case, Score(scores[1].value - scores[0].value))
    yield [
        Cell(", ".join(filter(None, (results.title, case.phrase)))),
        results.head(best),
        score_cell(scores[0]),
        results.head(others[0]) if others else Cell(),
        score_cell(difference, sign=True),
        score_cell(board.scores.get((best, case, "ssr"))),
    ]


def most_serious(doubts: Iterable[Doubt]) -> list[Doubt]:
    """The three doubts of the lowest priorities, the most severe of each."""
    by_priority = {doubt.priority: doubt for doubt in sorted(doubts, key=lambda doubt: doubt.severity)}
    return [by_priority[priority] for priority in sorted(by_priority)][:MAX_DOUBTS]


def general_doubts(results: Results) -> Iterator[Doubt]:
    """Ensembles whose spread is far from their error; draws that are out of range; a single seed."""
    board = results.board
    for name in board.having("ssr"):
        ratio = float(np.nanmean([board.value(name, "ssr", case) for case in board.cases]))
        yield from wrong_spread(ratio, results.label(name), results.title.lower())
    yield from impossible_draws(results)
    if any(map(results.learned, board.order)) and results.leaderboard["seed"].nunique() == 1:
        yield Doubt(
            ONE_SEED, "1", "training seed of each learned method: another may change small differences"
        )


def wrong_spread(ratio: float, method: str, what: str) -> Iterator[Doubt]:
    """A doubt about the spread of a method, if it is far from its error; none about a ratio that is NaN."""
    severity = abs(math.log(max(ratio, 1e-9)))
    if severity > math.log(WRONG_SPREAD):
        yield Doubt(
            SPREAD, f"{ratio:.2g}", f"spread-skill ratio of {method} ({what}), where 1 is right", severity
        )


def wrong_coverage(coverage: float, error: float, method: str, what: str) -> Iterator[Doubt]:
    """A doubt about intervals, if their coverage is off by more than `error`, half its 95 % interval, and matters."""
    severity = abs(coverage - NOMINAL_COVERAGE)
    if severity > max(error, WRONG_COVERAGE):  # False if one is NaN
        meaning = f"coverage of the intervals of 90 % of {method} ({what}), where 0.9 is right"
        yield Doubt(COVERAGE, f"{coverage:.2f}", meaning, severity)


def impossible_draws(results: Results) -> Iterator[Doubt]:
    """The experiment and the variable with the largest share of draws outside the range of valid values."""
    shares = {
        (share, results.label(name), variable)
        for name, stored in results.diagnostics.items()
        for variable, share in json.loads(stored.attrs.get(OUTSIDE_RANGE, "{}")).items()
    }
    share, label, variable = max(shares, default=(0.0, "", ""))
    if share > 0:
        meaning = f"of the values of {variable} that {label} draws are outside its valid range, such as negative ones"
        yield Doubt(IMPOSSIBLE, f"{100 * share:.2g} %", meaning, share)
