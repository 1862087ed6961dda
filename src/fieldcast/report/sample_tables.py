"""Tables of the scores of samples, one row per experiment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fieldcast.report.board import Board, Sampled
from fieldcast.report.tables import Cell, Table, number_cell, score_cell
from fieldcast.scores.numbers import significant
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

if TYPE_CHECKING:
    from fieldcast.report.sample import Sample


def score_table(results: Sample, board: Board, *scores: str) -> Table:
    """Experiments by scores, with intervals and, for distances, the score of real data.

    The best of comparable experiments is bold. A column states the treatment of the data: for images always, for fields
    if it differs.
    """
    present = [score for score in scores if board.having(score)]
    differ = len(set(results.treatments.values())) > 1
    treatments = results.treatments if results.images or differ else {}
    body = [
        [
            results.head(name),
            *([Cell(treatments.get(name, "–"))] if treatments else []),
            *(cell(results, board, name, score) for score in present),
        ]
        for name in board.having(*present)
    ]
    head = ["experiment", *(["data as"] if treatments else [])]
    return Table([*head, *(SAMPLE_METRICS[score].heading for score in present)], body if present else [])


def cell(results: Sample, board: Board, name: str, score: str) -> Cell:
    """A value with its interval, and below it the score of real data."""
    if score == "active_units":
        return number_cell(board.value(name, score), integer=True)
    floor = results.floor(name, score)
    notes = [(f"real data {significant(floor.value, 2)}", "")] if floor else []
    kind = "best" if is_best(results, board, name, score) else ""
    return score_cell(board.scores.get((name, Sampled(), score)), *notes, kind=kind)


def is_best(results: Sample, board: Board, name: str, score: str) -> bool:
    """Whether an experiment is the only best one of several comparable ones."""
    alike = results.comparable(board.having(score), score).get(results.compares_by(name, score), [])
    values = [board.value(other, score) for other in alike]
    best = SAMPLE_METRICS[score].best(values) if len(values) > 1 else math.nan
    return board.value(name, score) == best and values.count(best) == 1


def near_table(results: Sample) -> Table:
    """Distances to the nearest training state, of samples and of test data."""
    body = [
        [results.head(name), number_cell(drawn), number_cell(test), Cell(f"{100 * share:.0f} %", share)]
        for name, (drawn, test, share) in results.near.items()
    ]
    return Table(["experiment", "samples", "test data", "very near samples"], body)


def cells_table(results: Sample) -> Table:
    """Mean Wasserstein distance of a cell, beside that of real data."""
    body = []
    for name, stored in results.ordered("diagnostics").items():
        values = [float(stored.attrs.get(f"wasserstein_{part}", math.nan)) for part in ("mean", "floor")]
        if not math.isnan(values[0]):
            body.append([results.head(name), *map(number_cell, values)])
    return Table(["experiment", "samples", "real data"], body)
