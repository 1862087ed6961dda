"""Events on the page: Brier skill by event and by case, and figures of some events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.experiments import roles
from fieldcast.figures.calibration import event_page
from fieldcast.kinds import is_low, label
from fieldcast.report.results import Results, file_name
from fieldcast.report.score_tables import score_table
from fieldcast.report.scores_by_case import ScoresByCase
from fieldcast.report.tables import Table
from fieldcast.scores.event_tables import curves
from fieldcast.scores.statistics_table import STEP

SKILL, RANKING = "brier_skill", "brier"  # scores of tables, and of the order of experiments
DRAWN_QUANTILES = (0.05, 0.95)  # each figure shows the scored event nearest to one of these
MAX_LINES = 6  # experiments in a figure


class Event(NamedTuple):
    """An event by its quantile."""

    quantile: float

    def __str__(self) -> str:
        return label(self.quantile).replace(" ", "\u00a0")


@dataclass(frozen=True, eq=False)
class BrierSkillTables:
    """Tables of Brier skill over all variables.

    Parameters
    ----------
    results
        Results with scores of events.
    scores
        Their scores over all variables and one kind of cells.
    case, by
        Case of the task and the columns that make one.
    columns
        Cases to show, given a board.
    main
        The case of the table of all events.
    """

    results: Results
    scores: pd.DataFrame
    case: type
    by: tuple[str, ...]
    columns: Callable[[ScoresByCase], Sequence[Any]]
    main: Any

    def __bool__(self) -> bool:
        """Whether an event has been scored."""
        return len(self.scores) > 0

    def by_event(self) -> Table:
        """Experiments by events, at the main case."""
        scores = self.scores
        for column, value in zip(self.by, self.main, strict=True):
            scores = scores[scores[column] == value]
        board = ScoresByCase(scores, Event, ("quantile",), RANKING)
        return score_table(self.results, board, SKILL, board.cases)

    def drawn(self) -> Iterator[tuple[str, str]]:
        """File and title of each figure of `event_figures`."""
        for quantile in drawn_quantiles(self.results):
            yield figure_of(quantile), f"Values {label(quantile)}"

    def by_case(self) -> Iterator[tuple[str, Table]]:
        """Each event with experiments by cases."""
        for quantile, scores in self.scores.groupby("quantile"):
            board = ScoresByCase(scores, self.case, self.by, RANKING)
            yield label(float(quantile)), score_table(self.results, board, SKILL, self.columns(board))


def event_figures(results: Results, cases: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    """Figures of a high and a low event over all variables, by file name.

    `cases` are the columns by their titles, each as the labels of its case and its kind of cells.
    """
    names = experiments_to_draw(results)
    figures: dict[str, Figure] = {}
    for quantile in drawn_quantiles(results):
        columns = {
            title: {
                results.label(name): curves(table, int(results.events[name].attrs.get(STEP, 0)))
                for name in names
                if (table := event_table(results.events[name], quantile, case)) is not None
            }
            for title, case in cases.items()
        }
        figures[figure_of(quantile)] = event_page(columns, results.looks)
    return figures


def drawn_quantiles(results: Results) -> list[float]:
    """The events that figures show; none without tables of events."""
    names = experiments_to_draw(results)
    return events_to_draw(results.events[names[0]]["quantile"].to_numpy()) if names else []


def events_to_draw(quantiles: np.ndarray) -> list[float]:
    """One event above and one below its threshold, as far as both kinds were scored."""
    selected = []
    for low, nominal in ((False, max(DRAWN_QUANTILES)), (True, min(DRAWN_QUANTILES))):
        distance = {
            abs(float(quantile) - nominal): float(quantile)
            for quantile in quantiles
            if is_low(float(quantile)) == low
        }
        selected += [distance[min(distance)]] if distance else []
    return selected


def experiments_to_draw(results: Results) -> list[str]:
    """Up to six experiments with tables of events: the climatology, the reference, and the best others."""
    by_role = roles(results.about)
    first = [by_role[role] for role in ("reference", "climatology") if role in by_role]
    names = [name for name in dict.fromkeys([*first, *results.order]) if name in results.events]
    return [name for name in results.order if name in names[:MAX_LINES]]


def event_table(stored: xr.Dataset, quantile: float, labels: Mapping[str, Any]) -> xr.DataArray | None:
    """Mean table over variables (outcome, number, time) of one case; None if it was not scored."""
    table = stored["shares"].sel(quantile=quantile, method="nearest").mean("variable", skipna=False)
    for name, value in labels.items():
        coordinate = table[name]
        matches = coordinate == value if isinstance(value, str) else np.isclose(coordinate, value)
        indices = np.flatnonzero(matches)
        if not len(indices):
            return None
        (dim,) = coordinate.dims
        table = table.isel({dim: indices})
    dims = [dim for dim in table.dims if dim not in ("outcome", "number", "time")]
    return table.isel(dict.fromkeys(dims, 0))


def figure_of(quantile: float) -> str:
    """Name of the figure of an event."""
    return file_name("events", label(quantile).removesuffix(" %").replace(" ", "_"))
