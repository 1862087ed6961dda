"""Variants of a model beside what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fieldcast.report.forecast_results import LeadBoard, Results, few
from fieldcast.report.html import Cell, Markup, significant, table, tag
from fieldcast.report.scores import cell
from fieldcast.report.training import COSTS, cost


def number(value: float) -> str:
    """Infinite where a model blew up."""
    return "∞" if value == float("inf") else significant(value)


def variants_table(results: Results, board: LeadBoard, names: Sequence[str]) -> Markup:
    """CRPS and spread-skill ratio at a few leads, and costs; the training is of the weights that are drawn with."""
    leads = few(board.shown)
    wanted = ("train_steps", "train_seconds", "evaluations", "sample_ms", "parameters")
    columns = {key: COSTS[key] for key in wanted}
    there = [
        key for key in columns if any(key in results.costs[name] for name in names if name in results.costs)
    ]
    rows = []
    for name in names:
        line = [Cell(tag("code", name))]
        line += [cell(board.scores.get((name, lead, score))) for score in ("crps", "ssr") for lead in leads]
        row: Mapping[str, object] = results.costs[name].iloc[0] if name in results.costs else {}
        rows.append([*line, *(cost(row.get(key)) for key in there)])
    head = [f"{words}, {lead}" for words in ("fair CRPS", "spread-skill ratio") for lead in leads]
    return table(["experiment", *head, *(columns[key] for key in there)], rows)
