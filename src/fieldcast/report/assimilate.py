"""Results of the task `assimilate`: analyses as reconstructions are shown, with backgrounds and innovations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.calendars import lead_label
from fieldcast.experiments import roles
from fieldcast.figures.forecast_maps import cycle_film
from fieldcast.figures.style import percent
from fieldcast.report.events import BrierSkillTables, event_figures
from fieldcast.report.glossary import Glossary
from fieldcast.report.reconstruct import Reconstruct
from fieldcast.report.score_tables import all_scores_table
from fieldcast.report.scores_by_case import Observed, ScoresByCase
from fieldcast.report.tables import Cell, Table
from fieldcast.scores.assimilation import INNOVATION_POWER, STATES
from fieldcast.scores.event_metrics import EVENT_METRICS
from fieldcast.scores.leaderboard import ASSIMILATE

FILM = "first_steps"  # file name of the figure of the film


@dataclass(frozen=True, kw_only=True)
class Assimilate(Reconstruct):
    """Results of cycles, and the observations that they used; `leaderboard` holds the analyses alone."""

    others: pd.DataFrame = field(default_factory=pd.DataFrame)  # scores of backgrounds and innovations
    leads: pd.DataFrame = field(default_factory=pd.DataFrame)  # lead time lost by forecasts from the analyses
    film: Mapping[str, xr.Dataset] = field(default_factory=dict)  # the first steps of a cycle

    by_experiment: ClassVar[tuple[str, ...]] = (*Reconstruct.by_experiment, "film")
    title: ClassVar[str] = "Assimilation"
    template: ClassVar[str] = "assimilate"
    drawn: ClassVar[str] = "analyses"
    guide: ClassVar[Glossary] = Glossary(
        lambda: (*ASSIMILATE.metrics.values(), *EVENT_METRICS.values()), Reconstruct.guide.terms
    )

    def __post_init__(self) -> None:
        """Split the leaderboard, and leave the backgrounds out of the tables of statistics."""
        if "state" in self.leaderboard:
            is_analysis = self.leaderboard["state"] == "analysis"
            analyses = self.leaderboard[is_analysis].drop(columns="state")
            analyses.attrs = self.leaderboard.attrs
            object.__setattr__(self, "others", self.leaderboard[~is_analysis])
            object.__setattr__(self, "leaderboard", analyses)
        scores = {
            name: table[table["state"] == "analysis"].drop(columns="state")
            for name, table in self.scores.items()
            if table is not None and "state" in table
        }
        object.__setattr__(self, "scores", scores)
        super().__post_init__()

    def context(self) -> dict[str, Any]:
        return super().context() | {
            "backgrounds": self.table("unobserved"),
            "innovations": self.table("observed"),
            "lost": self.lead_table(),
            "events": self.event_tables(),
        }

    def event_tables(self) -> BrierSkillTables:
        """Brier skill of events, of the analyses at unobserved cells."""
        scores = self.event_scores
        for column, value in {"variable": "all", "cells": "unobserved", "state": "analysis"}.items():
            scores = scores[scores[column] == value] if len(scores) else scores
        cases = Observed, ("pattern", "k"), lambda board: board.cases
        return BrierSkillTables(self, scores, *cases, self.first_case)

    def event_figures(self) -> dict[str, Figure]:
        """Reliability, ROC curve and economic value of backgrounds and analyses at the middle fraction observed."""
        case = self.first_case
        if not self.events or case is None:
            return {}
        columns = {
            f"{state}, {case} observed": {"state": state, **case._asdict(), "cells": "unobserved"}
            for state in STATES
        }
        return event_figures(self, columns)

    def table(self, cells: str) -> Table:
        """Scores of the backgrounds over all variables, at unobserved cells, or at the observations."""
        selected = self.others[(self.others["variable"] == "all") & (self.others["cells"] == cells)]
        board = ScoresByCase(selected, Observed, ("pattern", "k"))
        metrics = {
            name: metric
            for name, metric in ASSIMILATE.metrics.items()
            if ({*metric.statistics} <= INNOVATION_POWER.keys()) == (cells == "observed")
        }
        return all_scores_table(self, board, metrics)

    def lead_table(self) -> Table:
        """Hours of lead time lost, a row for each experiment and case, a column for each lead."""
        if self.leads.empty:
            return Table([], [])
        leads = sorted(self.leads["lead_hours"].unique())
        body = []
        for (name, pattern, k), lost_by_lead in self.leads.groupby(
            ["experiment", "pattern", "k"], sort=False
        ):
            lost = lost_by_lead.set_index("lead_hours")["lost_hours"]
            cells = [
                Cell() if np.isnan(lost[lead]) else Cell(f"{lost[lead]:.0f}", lost[lead]) for lead in leads
            ]
            body.append([Cell(self.label(str(name))), Cell(f"{pattern}, {percent(k)}", k), *cells])
        return Table(["Experiment", "Observed", *(f"{lead_label(lead)}" for lead in leads)], body)

    def figures(self) -> dict[str, Figure]:
        """Figures that have content, by file name."""
        drawn, films = super().figures() | self.event_figures(), self.films_to_draw()
        if films:
            variable = str(next(iter(next(iter(films.values())).data_vars)))
            drawn[FILM] = cycle_film(films, variable, self.outline)
        return drawn

    def films_to_draw(self) -> dict[str, xr.Dataset]:
        """Films of the reference, the best experiment and the bound, by label."""
        names = dict.fromkeys((self.reference, self.best, roles(self.about).get("bound", "")))
        return self.labelled({name: self.film[name] for name in names if name in self.film})
