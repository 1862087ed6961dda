"""Variants of a model beside what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from .forecast_results import LeadBoard, Results, few
from .html import Cell, Markup, join, significant, table, tag
from .scores import cell
from .training import cost


def number(value: float) -> str:
    """Infinite where a model blew up."""
    return "∞" if value == float("inf") else significant(value)


def at_equal_cost(results: Results, board: LeadBoard, names: Sequence[str]) -> list[Markup]:
    """The best variant of each number of network evaluations a step."""
    asked: dict[float, list[str]] = {}
    for name in names:
        row = results.costs.get(name)
        value = float("nan") if row is None else float(row.iloc[0].get("evaluations", float("nan")))
        if not pd.isna(value):
            asked.setdefault(value, []).append(name)
    if len(asked) < 2:
        return []
    lead = few(board.shown)[len(few(board.shown)) // 2]
    parts = []
    for evaluations, own in sorted(asked.items()):
        values = {
            name: board.scores[name, lead, "crps"].value
            for name in own
            if (name, lead, "crps") in board.scores
        }
        if values:
            best = min(values, key=values.__getitem__)
            parts.append(join([f"{evaluations:.0f}: ", tag("code", best), f" ({number(values[best])})"]))
    return [
        join(
            [
                f"At equal inference cost, lowest fair CRPS at {lead} by network evaluations a step: ",
                join(parts, ", "),
                ".",
            ]
        )
    ]


def variants_table(results: Results, board: LeadBoard, names: Sequence[str]) -> Markup:
    """CRPS and spread-skill ratio at a few leads, and costs."""
    leads = few(board.shown)
    columns = {"evaluations": "evaluations a step", "sample_ms": "one draw, ms", "parameters": "parameters"}
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
