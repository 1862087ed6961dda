"""Results of the task `reconstruct`: its figures and the context of its template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.calibration import rank_histograms
from fieldcast.figures.curves import against_k, over_time, variables_against_k
from fieldcast.figures.maps import mask_pictures, reconstruction_maps
from fieldcast.figures.pictures import reconstruction_glance
from fieldcast.figures.spectra import relative_spectra
from fieldcast.figures.style import percent
from fieldcast.kinds import CASE
from fieldcast.report.comparisons import shared_context
from fieldcast.report.first_screen import general_doubts
from fieldcast.report.glossary import (
    ANOMALY_DEVIATIONS,
    EFFECTIVE_RESOLUTION,
    INTERVALS,
    UNOBSERVED_CELLS,
    Glossary,
)
from fieldcast.report.results import GLANCE, Results, file_name
from fieldcast.report.score_tables import all_scores_table
from fieldcast.report.scores_by_case import Observed, ScoresByCase
from fieldcast.report.tables import Cell, Doubt, Table, score_cell
from fieldcast.scores.leaderboard import RECONSTRUCT, Layout
from fieldcast.scores.numbers import significant
from fieldcast.scores.statistics_table import error_over_time

Case = TypeVar("Case")
EXPERIMENTS_ACROSS = 6  # side by side in a figure of maps
FRACTIONS = (0.05, 0.1, 0.2)  # observed fractions of rank histograms


class Maps(NamedTuple):
    """Experiments, variable, case and time of a figure of maps."""

    pattern: str
    k: float
    variable: str
    time: int
    part: int  # number of the figure: 0 shows the reference and learned experiments, 1 the next ones

    @property
    def file(self) -> str:
        parts = ["maps", self.pattern, f"{100 * self.k:g}".replace(".", "p"), self.variable]
        parts += [f"time{self.time + 1}"] if self.time else []
        return file_name(*parts, *([f"part{self.part + 1}"] if self.part else []))

    @property
    def title(self) -> str:
        title = f"{self.variable}, pattern {self.pattern}, {percent(self.k)} observed"
        return (
            title + (", further experiments" if self.part else "") + (", another time" if self.time else "")
        )


@dataclass(frozen=True, kw_only=True)
class Reconstruct(Results):
    """Results of reconstructions, and the observations that they used."""

    observations: xr.Dataset | None = None

    title: ClassVar[str] = "Reconstruction"
    template: ClassVar[str] = "reconstruct"
    layout: ClassVar[Layout | None] = RECONSTRUCT
    drawn: ClassVar[str] = "reconstructions"
    guide: ClassVar[Glossary] = Glossary(
        lambda: tuple(RECONSTRUCT.metrics.values()),
        (ANOMALY_DEVIATIONS, INTERVALS, UNOBSERVED_CELLS, EFFECTIVE_RESOLUTION),
    )

    @cached_property
    def board(self) -> ScoresByCase:
        """Scores over all variables on unobserved cells."""
        return self.scores_of("all", "unobserved")

    def scores_of(self, variable: str, cells: str) -> ScoresByCase:
        return ScoresByCase(self.records_where(cells=cells, variable=variable), Observed, ("pattern", "k"))

    def overall(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Rows of a table of statistics over all variables on unobserved cells."""
        return scores[(scores["variable"] == "all") & (scores["cells"] == "unobserved")]

    @cached_property
    def main_pattern(self) -> str:
        """The random pattern if it was scored, else the first."""
        patterns = list(self.leaderboard["pattern"].unique()) if len(self.leaderboard) else []
        for stored in (*self.diagnostics.values(), *self.examples.values()):
            patterns += stored["pattern"].to_numpy().astype(str).tolist()
        return "random" if "random" in patterns or not patterns else str(patterns[0])

    @property
    def units(self) -> dict[str, str]:
        """Unit of each variable, from any data set that holds fields."""
        observed = () if self.observations is None else self.observations.items()
        return super().units | {str(name): str(values.attrs.get("units", "")) for name, values in observed}

    def cases(self, random: bool) -> list[Observed]:
        """Scored cases of the random pattern, or of all others."""
        return [case for case in self.board.cases if (case.pattern == "random") == random]

    def context(self) -> dict[str, Any]:
        return shared_context(self, "fair CRPS") | {
            "groups": [cases for random in (True, False) if (cases := self.cases(random))],
            "maps": list(self.maps()),
            "cells_missing": self.cells_missing,
            "coverage": partial(coverage_table, self),
            "resolution": resolution_table(self),
            "spectrum": kind_of_spectrum(self),
            "score_boards": list(self.score_boards()),
        }

    def score_boards(self) -> Iterator[tuple[str, Any]]:
        """Title and table of all scores, overall and by variable, on unobserved and on all cells."""
        if not len(self.leaderboard):
            return
        for variable in dict.fromkeys(("all", *self.leaderboard["variable"].unique())):
            for cells in ("unobserved", "all"):
                board = self.scores_of(variable, cells)
                unit = "anomaly standard deviations" if variable == "all" else self.units.get(variable, "")
                title = f"{'All variables' if variable == 'all' else variable}, {unit}, {cells} cells"
                yield title, all_scores_table(self, board, RECONSTRUCT.metrics)

    @property
    def first_case(self) -> Observed | None:
        """The scored case of the main pattern with the middle fraction."""
        cases = [case for case in self.board.cases if case.pattern == self.main_pattern]
        return middle(cases) if cases else None

    @property
    def doubts(self) -> list[Doubt]:
        """Reasons that results of all tasks may have."""
        return list(general_doubts(self))

    def curves(self) -> dict[str, Figure]:
        """Scores against the fraction observed, over all variables and by variable; errors over time."""
        drawn: dict[str, Figure] = {}
        pattern = self.main_pattern
        if len(self.leaderboard):
            board = self.labelled_leaderboard
            drawn["scores_against_k"] = against_k(board, self.looks, pattern=pattern)
            drawn["variables_against_k"] = variables_against_k(board, self.units, self.looks, pattern=pattern)
        errors = self.errors_over_time()
        return drawn | ({"error_over_time": over_time(errors)} if errors else {})

    def glance_figure(self) -> dict[str, Figure]:
        """The best experiment on the first screen; empty without examples of it in the main pattern."""
        if self.best not in self.examples:
            return {}
        stored = self.examples[self.best]
        pairs = zip(
            stored["pattern"].to_numpy().astype(str), stored["k"].to_numpy().astype(float), strict=True
        )
        cases = [(str(pattern), float(k)) for pattern, k in pairs if pattern == self.main_pattern]
        if not cases:
            return {}
        variable = str(next(iter(stored.data_vars)))
        return {
            GLANCE: reconstruction_glance(
                stored, variable, middle(cases), self.label(self.best), self.outline
            )
        }

    def figures(self) -> dict[str, Figure]:
        """Figures that have content, by file name."""
        drawn = self.glance_figure() | self.curves() | self.diagnostic_figures()
        for maps in self.maps():
            examples = self.labelled({name: self.examples[name] for name in self.map_parts[maps.part]})
            drawn[maps.file] = reconstruction_maps(
                examples, maps.variable, maps.pattern, maps.k, time=maps.time, outline=self.outline
            )
        drawn |= self.losses()
        if self.observations is not None and (self.observations["pattern"] != "points").any():
            drawn["masks"] = mask_pictures(self.observations, outline=self.outline)
        return drawn

    def errors_over_time(self) -> dict[str, pd.DataFrame]:
        """The error at each time for each k, of every experiment that was scored, by label."""
        tables = self.labelled("scores")
        errors = {label: error_over_time(table, pattern=self.main_pattern) for label, table in tables.items()}
        return {label: frame for label, frame in errors.items() if frame.size}

    def diagnostic_figures(self) -> dict[str, Figure]:
        """Rank histograms and spectra."""
        stored, pattern = self.labelled("diagnostics"), self.main_pattern
        levels = fractions(next(iter(stored.values())), pattern) if stored else []
        if not levels:
            return {}
        drawn = {"spectra": relative_spectra(stored, middle(levels), self.looks, pattern)}
        if any(dataset.sizes["rank"] > 2 for dataset in stored.values()):
            drawn["rank_histograms"] = rank_histograms(stored, levels, self.looks, pattern=pattern)
        return drawn

    @cached_property
    def map_parts(self) -> list[list[str]]:
        """Experiments for maps, at most six per figure: the reference and the learned ones first."""
        names = list(self.ordered("examples"))
        first = [name for name in names if name == self.reference or self.about[name].family == "learned"]
        names = first + [name for name in names if name not in first]
        groups = [
            names[start : start + EXPERIMENTS_ACROSS] for start in range(0, len(names), EXPERIMENTS_ACROSS)
        ]
        return [[name for name in self.order if name in group] for group in groups]

    @property
    def cells_missing(self) -> bool:
        """Whether the maps show cells that do not exist."""
        truths = (stored.sel(kind="truth") for stored in self.examples.values())
        absent = (truth.isnull().all((CASE, "time")).to_array() for truth in truths)
        return any(bool(cells.any()) for cells in absent)

    def maps(self) -> Iterator[Maps]:
        """Maps to draw: the first variable in every case; at the middle fraction everything else."""
        if not self.map_parts:
            return
        stored = self.examples[self.map_parts[0][0]]
        variables = [str(name) for name in stored.data_vars]
        pairs = list(
            zip(stored["pattern"].to_numpy().astype(str), stored["k"].to_numpy().astype(float), strict=True)
        )
        for pattern, k in pairs:
            yield Maps(pattern, k, variables[0], 0, 0)
        pattern, k = middle([case for case in pairs if case[0] == self.main_pattern] or pairs)
        yield from (Maps(pattern, k, variables[0], 0, part) for part in range(1, len(self.map_parts)))
        yield from (Maps(pattern, k, variable, 0, 0) for variable in variables[1:])
        yield from (Maps(pattern, k, variables[0], time, 0) for time in range(1, stored.sizes["time"]))


def fractions(diagnostics: xr.Dataset, pattern: str) -> list[float]:
    """The scored fractions of a pattern that are nearest to `FRACTIONS`."""
    k = diagnostics["k"].to_numpy()[diagnostics["pattern"].to_numpy() == pattern].astype(float)
    return (
        sorted({float(k[np.argmin(np.abs(np.log(k / fraction)))]) for fraction in FRACTIONS})
        if len(k)
        else []
    )


def middle(cases: Sequence[Case]) -> Case:
    """The case or the fraction in the middle of the list."""
    return cases[len(cases) // 2]


# Tables of calibration: coverage of the ensemble, and the scales that the ensemble mean resolves.


def coverage_table(results: Results, board: ScoresByCase) -> Table:
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
    values = diagnostics["effective_resolution"].transpose(CASE, "variable").to_numpy().astype(float)
    return [
        [
            results.head(name),
            Cell(pattern),
            Cell(percent(k), k),
            *(Cell(significant(value), value) for value in line),
        ]
        for pattern, k, line in zip(patterns, fractions, values, strict=True)
    ]
