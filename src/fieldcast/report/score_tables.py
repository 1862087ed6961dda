"""Tables of a leaderboard: one row per experiment, one column per case or score; paired differences of two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from fieldcast.figures.style import percent
from fieldcast.report.results import DIFFERENCE, Results
from fieldcast.report.scores_by_case import Lead, Observed, ScoresByCase
from fieldcast.report.tables import Cell, Table, number_cell, score_cell
from fieldcast.scores.bootstrap import Score
from fieldcast.scores.event_metrics import EVENT_METRICS
from fieldcast.scores.leaderboard import leaderboard
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.numbers import significant
from fieldcast.scores.score_info import ScoreInfo

MIN_COLOURED = 0.01  # smallest difference that is coloured, as a share of the reference's CRPS
LEGENDS: Mapping[str, ScoreInfo] = {**METRICS, **EVENT_METRICS}


def verdict_notes(results: Results, board: ScoresByCase, name: str, case: Any) -> tuple[tuple[str, str], ...]:
    """Verdict of an experiment against the reference, with its CSS class; differences below 1 % have no class."""
    if name == results.reference:
        return (("reference", ""),)
    score = board.scores.get((name, case, DIFFERENCE))
    if score is None:
        return ()
    if score.verdict not in ("better", "worse"):
        return ((score.verdict, score.verdict.replace(" ", "-")),)
    small = abs(score.value) < MIN_COLOURED * abs(board.value(results.reference, "crps", case))
    return ((f"{score.verdict} by {significant(abs(score.value), 2)}", "" if small else score.verdict),)


def score_table(results: Results, board: ScoresByCase, score: str, cases: Sequence[Any]) -> Table:
    """Experiments by cases: the value, its interval, and for the CRPS how it compares with the reference.

    The best of each case is bold, bounds and models that blew up aside.
    """
    names = board.having(score, cases=cases)
    ranked = [name for name in names if name not in results.bounds]
    body = []
    for name in names:
        row = [results.head(name)]
        for case in cases:
            values = [board.value(other, score, case) for other in ranked]
            best = LEGENDS[score].best([value for value in values if not math.isnan(value)] or [math.nan])
            notes = verdict_notes(results, board, name, case) if score == "crps" else ()
            bold = name in ranked and board.value(name, score, case) == best and math.isfinite(best)
            row.append(score_cell(board.scores.get((name, case, score)), *notes, kind="best" if bold else ""))
        body.append(row)
    return Table(["experiment", *map(str, cases)], body)


def difference_table(results: Results, board: ScoresByCase, cases: Sequence[Any]) -> Table:
    """Experiments by cases: CRPS minus that of the reference, its interval and the verdict."""
    body = []
    for name in board.having(DIFFERENCE, cases=cases):
        scores = [board.scores.get((name, case, DIFFERENCE)) for case in cases]
        cells = [
            score_cell(score, (score.verdict, score.verdict.replace(" ", "-")), sign=True)
            if score
            else Cell()
            for score in scores
        ]
        body.append([results.head(name), *cells])
    return Table(["experiment", *map(str, cases)], body)


def paired_differences(results: Results, name: str, reference: str, cases: Sequence[Any]) -> dict[Any, Score]:
    """CRPS of one experiment minus that of another by case, with its interval; empty without their statistics."""
    if results.layout is None or not cases or not {name, reference} <= set(results.scores):
        return {}
    board = results.board
    selected = pd.DataFrame(cases, columns=list(board.by))
    tables = {}
    for experiment in (name, reference):
        table = results.overall(results.scores[experiment])
        table = table[table["statistic"] == "crps"].merge(selected, on=list(board.by))
        tables[experiment] = table.assign(experiment=experiment)
    if any(table.empty for table in tables.values()):
        return {}
    data, scored = tables[reference].iloc[0][["data_digest", "case_digest"]]
    metrics, roles = {score: METRICS[score] for score in ("crps", DIFFERENCE)}, {"reference": reference}
    paired = leaderboard(tables, data, scored, layout=results.layout, metrics=metrics, roles=roles)
    scores = ScoresByCase(paired, board.case, board.by).scores
    return {case: scores[name, case, DIFFERENCE] for case in cases if (name, case, DIFFERENCE) in scores}


def all_scores_table(results: Results, board: ScoresByCase, metrics: Mapping[str, ScoreInfo]) -> Table:
    """Every score without its interval: a row for each case and experiment."""
    present = {score for _, _, score in board.scores}
    names = [score for score in metrics if score in present]
    body = []
    for case in board.cases:
        for name in board.order:
            values = [board.value(name, score, case) for score in names]
            if not all(map(math.isnan, values)):
                body.append([results.head(name), *case_cells(case), *map(number_cell, values)])
    heads = {Observed: ["pattern", "observed"], Lead: ["lead time"]}.get(board.case, [])
    return Table(["experiment", *heads, *names], body)


def case_cells(case: Any) -> list[Cell]:
    """Cells that identify the case of a row."""
    if isinstance(case, Observed):
        return [Cell(case.pattern), Cell(percent(case.k), case.k)]
    return [Cell(str(case), field) for field in case]
