"""Tables of forecasts by lead and by region."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from fieldcast.report.board import Score
from fieldcast.report.forecast_results import Lead, LeadBoard, Results, few
from fieldcast.report.html import Cell, Markup, folded, join, missing, significant, table, tag
from fieldcast.report.scores import cell, score_table
from fieldcast.scores.leaderboard import skill_horizon
from fieldcast.scores.leaderboard_schema import FORECAST

IN_UNITS = (
    "Mean over variables in anomaly standard deviations, with 95 % intervals; the best is bold, bounds aside."
)


def by_lead(results: Results, board: LeadBoard, score: str, caption: str) -> Markup:
    """One score of all experiments at the leads shown."""
    return score_table(board, score, board.shown, results.reference, caption, unranked=results.bounds)


def horizons(results: Results) -> Markup:
    """Until when each experiment has skill, overall and by variable."""
    found = skill_horizon(results.leaderboard)
    found = found[found["region"] == results.region]
    if found.empty:
        return missing("No skill: the climatological ensemble has not run.")
    last = Lead(float(results.leaderboard["lead_hours"].max()))
    wide = found.groupby(["experiment", "variable"])["lead_hours"].mean().unstack()
    variables = sorted(found["variable"].unique(), key=lambda name: name != "all")  # the others as they stand
    rows = [
        [Cell(tag("code", name)), *(horizon(wide.loc[name].get(variable), last) for variable in variables)]
        for name in results.order
        if name in wide.index
    ]
    caption = (
        "Until when a forecast is better than the climatological ensemble: the lead at which skill crosses zero, "
        "linear between leads. None: not at the first lead."
    )
    return table(["experiment", *variables], rows, caption)


def horizon(hours: float | None, last: Lead) -> Cell:
    """A lead; beyond the last, or nowhere."""
    if hours is None or pd.isna(hours):
        return Cell("–")
    if hours == 0:
        return Cell("none", 0.0)
    return Cell(f"beyond {last}", 1e9) if hours == float("inf") else Cell(f"{hours / 24:.1f} d", hours)


def regions(results: Results) -> Markup:
    """Fair CRPS of every region at a short and a middle lead; folded, all of each region."""
    names = [name for name in results.leaderboard["region"].unique() if name != results.region]
    if not names:
        return missing("The grid has no regions of its own: all scores are of the whole domain.")
    boards = {name.replace("_", " "): LeadBoard(results.leaderboard, region=name) for name in names}
    parts = [overview(results, boards)]
    for title, board in boards.items():
        crps = by_lead(results, board, "crps", f"Fair CRPS, lower is better. {IN_UNITS}")
        acc = by_lead(results, board, "acc", f"Anomaly correlation, higher is better. {IN_UNITS}")
        parts.append(folded(f"{title.capitalize()}: fair CRPS and anomaly correlation", crps, acc))
    return join(parts)


def overview(results: Results, boards: Mapping[str, LeadBoard]) -> Markup:
    """Columns are regions and leads."""
    columns = [(title, lead) for title, board in boards.items() for lead in few(board.shown)[:2]]
    rows = []
    for name in results.board.order if results.board else []:
        found = [boards[title].scores.get((name, lead, "crps")) for title, lead in columns]
        rows.append([Cell(tag("code", name)), *(cell(one) for one in found)])
    caption = (
        "Fair CRPS, mean over variables in anomaly standard deviations, with 95 % intervals; lower is better."
    )
    return table(["experiment", *(f"{title}, {lead}" for title, lead in columns)], rows, caption)


def wide_table(board: LeadBoard) -> Markup:
    """Every score: a row for each lead and experiment."""
    present = {score for _, _, score in board.scores}
    names = [score for score in FORECAST.metrics if score in present]
    return table(["experiment", "lead", *names], list(wide_rows(board, names)))


def wide_rows(board: LeadBoard, names: Sequence[str]) -> Iterator[list[Cell | str]]:
    """Rows of `wide_table`."""
    for lead in board.leads:
        for name in board.order:
            found = [board.scores.get((name, lead, score)) for score in names]
            if any(found):
                values = [plain(one.value) if one else Cell("–") for one in found]
                yield [Cell(tag("code", name)), Cell(str(lead), lead.hours), *values]


def plain(value: float) -> Cell:
    """A number of three digits; infinite where a model blew up."""
    return Cell(significant(value), value) if math.isfinite(value) else cell(Score(value, math.nan, math.nan))
