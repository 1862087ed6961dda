"""Tables of calibration: coverage of the ensemble, and the scales that the ensemble mean resolves."""

from __future__ import annotations

import xarray as xr

from fieldcast.figures.style import percent
from fieldcast.report.board import Board
from fieldcast.report.results import Results
from fieldcast.report.tables import Cell, Table, score_cell
from fieldcast.scores.numbers import significant


def coverage_table(results: Results, board: Board) -> Table:
    """Spread-skill ratio, and coverage beside its exact nominal value, of every ensemble in every case."""
    names = ("ssr", "coverage50", "coverage90")
    body = [
        [
            results.head(name),
            Cell(case.pattern),
            Cell(percent(case.k), case.k),
            *(score_cell(board.scores.get((name, case, score))) for score in names),
        ]
        for case in sorted(board.cases, key=lambda case: (case.pattern != "random", case))
        for name in board.having("ssr", cases=[case])
    ]
    head = ["experiment", "pattern", "observed", "spread-skill ratio (ideal 1)"]
    head += [f"{name[-2:]} % coverage ({nominal_interval(results, name)})" for name in names[1:]]
    return Table(head, body)


def nominal_interval(results: Results, score: str) -> str:
    """Members that bound the interval in the largest ensemble, and its exact coverage."""
    ensembles = [stored for stored in results.diagnostics.values() if stored.sizes["rank"] > 2]
    if not ensembles:
        return "between ranks"
    largest = max(ensembles, key=lambda stored: stored.sizes["rank"])
    return f"between members {largest.attrs.get(f'{score}_interval', '')}"


def kind_of_spectrum(results: Results) -> str:
    """Method by which spectra were computed, in brackets; empty if it was not stored."""
    for stored in results.ordered("diagnostics").values():
        attributes = [str(stored.attrs[name]) for name in ("spectrum", "latitudes") if name in stored.attrs]
        return f" ({'; '.join(attributes)})" if attributes else ""
    return ""


def resolution_table(results: Results) -> Table:
    """Effective resolution: a row for each experiment and case."""
    stored = results.ordered("diagnostics")
    if not stored:
        return Table([], [])
    variables = [f"{name} [km]" for name in next(iter(stored.values()))["variable"].to_numpy()]
    body = [row for name, dataset in stored.items() for row in resolutions(results, name, dataset)]
    return Table(["experiment", "pattern", "observed", *variables], body)


def resolutions(results: Results, name: str, diagnostics: xr.Dataset) -> list[list[Cell]]:
    """A row for each case of one experiment."""
    patterns = diagnostics["pattern"].to_numpy().astype(str)
    fractions = diagnostics["k"].to_numpy().astype(float)
    values = diagnostics["effective_resolution"].transpose("case", "variable").to_numpy().astype(float)
    return [
        [
            results.head(name),
            Cell(pattern),
            Cell(percent(k), k),
            *(Cell(significant(value), value) for value in line),
        ]
        for pattern, k, line in zip(patterns, fractions, values, strict=True)
    ]
