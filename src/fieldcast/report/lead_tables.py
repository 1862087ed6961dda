"""Tables of forecasts: columns by lead time, skill horizons, regions and outcomes of long rollouts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from fieldcast.even_spacing import evenly_spaced_indices
from fieldcast.report.board import Board, Lead
from fieldcast.report.study_answers import representative_cases
from fieldcast.report.tables import Cell, Table, number_cell, score_cell
from fieldcast.scores.leaderboard import skill_horizon
from fieldcast.scores.numbers import compact
from fieldcast.scores.stability import DIVERGED_RMS, stability_horizons
from fieldcast.time_steps import SYMBOLS, UNITS, unit_of

if TYPE_CHECKING:
    from fieldcast.report.forecast import Forecast

DAYS = (1, 2, 3, 5, 7, 10, 15)  # lead times that are columns of tables
REALISTIC_STD = 0.5, 2.0  # standard deviation of a realistic rollout [anomaly standard deviations]
REALISTIC_POWER = 0.1, 10.0  # its power at short waves, relative to that of the truth


def columns(board: Board) -> list[Lead]:
    """Lead times of a table: 1, 2, 3, 5, 7, 10 and 15 days, or up to seven evenly spaced."""
    selected = [lead for lead in board.cases if lead.hours / 24 in DAYS]
    if len(selected) < 2 and board.cases:
        selected = [board.cases[index] for index in evenly_spaced_indices(len(board.cases), len(DAYS))]
    return selected


def horizons(results: Forecast) -> Table:
    """Skill horizon of each experiment, overall and by variable."""
    if not len(results.leaderboard):
        return Table([], [])
    table = skill_horizon(results.leaderboard)
    table = table[table["region"] == results.region]
    last = Lead(float(results.leaderboard["lead_hours"].max()))
    wide = table.groupby(["experiment", "variable"])["lead_hours"].mean().unstack()
    variables = sorted(
        table["variable"].unique(), key=lambda name: name != "all"
    )  # the others keep their order
    body = [
        [results.head(name), *(horizon(wide.loc[name].get(variable), last) for variable in variables)]
        for name in results.order
        if name in wide.index
    ]
    return Table(["experiment", *variables], body)


def horizon(hours: float | None, last: Lead) -> Cell:
    """A skill horizon as a lead time, "beyond" the last one, or "none"."""
    if hours is None or pd.isna(hours):
        return Cell()
    if hours == 0:
        return Cell("none", 0.0)
    unit = unit_of(last.hours)
    return (
        Cell(f"beyond {last}", 1e9)
        if math.isinf(hours)
        else Cell(f"{hours / UNITS[unit]:.1f} {SYMBOLS[unit]}", hours)
    )


def region_boards(results: Forecast) -> dict[str, Board]:
    """Scores over all variables in each region but the whole grid, by its name in words."""
    regions = results.leaderboard["region"].unique() if len(results.leaderboard) else []
    return {
        name.replace("_", " "): results.scores_of("all", name) for name in regions if name != results.region
    }


def regions(results: Forecast) -> Iterator[tuple[str, Board, list[Lead]]]:
    """Name, scores and columns of each region."""
    for title, board in region_boards(results).items():
        yield title.capitalize(), board, columns(board)


def region_overview(results: Forecast) -> Table:
    """Fair CRPS of every region at a short and a middle lead time."""
    boards = region_boards(results)
    columns_shown = [
        (title, lead) for title, board in boards.items() for lead in representative_cases(columns(board))[:2]
    ]
    body = []
    for name in results.board.order if boards else []:
        scores = [boards[title].scores.get((name, lead, "crps")) for title, lead in columns_shown]
        body.append([results.head(name), *map(score_cell, scores)])
    return Table(["experiment", *(f"{title}, {lead}" for title, lead in columns_shown)], body)


def outcomes(results: Forecast) -> Mapping[str, Any]:
    """Experiments of the long rollout by outcome: blew up, diverged, stayed bounded."""
    table = stability_horizons(results.ordered("stability"))
    if table.empty:
        return {}
    blew_up = table["blow_up"].notna()
    diverged = table["diverged"].notna() & ~blew_up
    bounded = table[~blew_up & ~diverged]
    power = bounded["spectrum_ratio"]
    # grids without a complete latitude have no spectra
    realistic = bounded["std"].between(*REALISTIC_STD) & (power.between(*REALISTIC_POWER) | power.isna())
    return {
        "blew_up": list(zip(table.loc[blew_up, "experiment"], table.loc[blew_up, "blow_up"], strict=True)),
        "diverged": list(
            zip(table.loc[diverged, "experiment"], table.loc[diverged, "diverged"], strict=True)
        ),
        "bounded": len(bounded),
        "unrealistic": list(bounded.loc[~realistic, "experiment"]),
        "steps": int(table["steps"].max()),
        "limit": DIVERGED_RMS,
        "std": REALISTIC_STD,
        "power": REALISTIC_POWER,
    }


def long_rollout_table(results: Forecast) -> Table:
    """Outcome of the long rollout of each experiment, in steps of the model."""
    body = [
        [
            results.head(run.experiment),
            *(step(value) for value in (run.below_one, run.passes_climatology, run.diverged, run.blow_up)),
            *(
                number_cell(value)._replace(text=compact(value))
                for value in (run.std, run.mean, run.spectrum_ratio)
            ),
        ]
        for run in stability_horizons(results.ordered("stability")).itertuples()
    ]
    head = ["experiment", "MSE below 1 until step", "exceeds the climatology's at step", "diverged at step"]
    head += [
        "blew up at step",
        "standard deviation at the end",
        "mean at the end",
        "power at short waves / truth",
    ]
    return Table(head, body)


def step(value: float) -> Cell:
    """A number of steps; a dash if the event did not happen."""
    return Cell() if pd.isna(value) else Cell(f"{value:.0f}", float(value))
