"""Results of the task `forecast`: its figures and the context of its template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from fieldcast.figures import animation
from fieldcast.figures.forecast_maps import snapshot_maps, step_maps
from fieldcast.figures.glance import of_forecast
from fieldcast.figures.leads import against_lead, variables_against_lead
from fieldcast.figures.long_rollout import long_run
from fieldcast.figures.ranks import lead_rank_histograms
from fieldcast.figures.spectra import long_rollout_spectra, spectra_at_leads
from fieldcast.report import glance, lead_tables
from fieldcast.report.board import Board, Lead
from fieldcast.report.charts import leads_chart
from fieldcast.report.context import shared_context
from fieldcast.report.events import EventTables, event_figures
from fieldcast.report.glance import Glance
from fieldcast.report.guide import ANOMALY_DEVIATIONS, BLEW_UP, INTERVALS, Guide, metrics_of
from fieldcast.report.results import GLANCE, Results, file_name
from fieldcast.report.score_tables import all_scores_table
from fieldcast.report.study_answers import fed_on_mean
from fieldcast.scores.event_metrics import EVENT_METRICS
from fieldcast.scores.leaderboard_schema import FORECAST
from fieldcast.scores.regions import WHOLE
from fieldcast.starts import Starts
from fieldcast.time_steps import lead_label

DAYS = (1, 5, 10)  # of rank histograms and spectra
MAPPED = 8  # experiments whose first steps are drawn
GLANCE_HOURS = 72.0  # lead time of the first screen
ANIMATED = 3  # experiments side by side in the animation


class Steps(NamedTuple):
    """First steps of one experiment and variable: the content of a figure."""

    experiment: str
    variable: str

    @property
    def file(self) -> str:
        """Name of the figure."""
        return file_name("steps", self.experiment, self.variable)


@dataclass(frozen=True, kw_only=True)
class Forecast(Results):
    """Results of forecasts, their initial times, and statistics and snapshots of long rollouts.

    Maps show `snapshot_anomalies`, the snapshots as departures from the climatology, where they are given.
    """

    starts: Starts | None = None
    stability: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    snapshots: Mapping[str, xr.Dataset] = field(default_factory=dict)
    snapshot_anomalies: Mapping[str, xr.Dataset] = field(default_factory=dict)

    parts: ClassVar[tuple[str, ...]] = (*Results.parts, "stability", "snapshots", "snapshot_anomalies")
    title: ClassVar[str] = "Forecasts"
    template: ClassVar[str] = "forecast"
    drawn: ClassVar[str] = "forecasts"
    guide: ClassVar[Guide] = Guide(
        lambda: (*metrics_of("forecast"), *EVENT_METRICS.values()), (ANOMALY_DEVIATIONS, INTERVALS, BLEW_UP)
    )
    files: ClassVar[Mapping[str, str]] = {
        "stability.csv": "each step of the long rollouts",
        "forecast.gif": "the animation",
    }

    @cached_property
    def region(self) -> str:
        """Name of the whole grid."""
        regions = list(self.leaderboard["region"].unique()) if len(self.leaderboard) else []
        return next((name for name in WHOLE if name in regions), WHOLE[0])

    @cached_property
    def board(self) -> Board:
        """Scores over all variables and the whole grid."""
        return self.scores_of("all", self.region)

    def scores_of(self, variable: str, region: str) -> Board:
        """Scores of one variable (or "all") in one region."""
        return Board(self.records_where(region=region, variable=variable), Lead, ("lead_hours",))

    def overall(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Rows of a table of statistics over all variables and the whole grid."""
        return scores[(scores["variable"] == "all") & (scores["region"] == self.region)]

    @property
    def units(self) -> dict[str, str]:
        """Unit of each variable, from any data set that holds fields."""
        fields = [variable for snapshot in self.snapshots.values() for variable in snapshot.items()]
        return {str(name): str(values.attrs.get("units", "")) for name, values in fields} | super().units

    @property
    def members(self) -> int:
        """Members of the scored forecasts."""
        return 0 if self.starts is None else self.starts.get("members", 0)

    def context(self) -> dict[str, Any]:
        """Context of the template besides the results and the figures."""
        return shared_context(self, FORECAST, "score", self.members) | {
            "leads": lead_tables.columns(self.board),
            "every": "every lead time of the tables",
            "scored": self.scored(),
            "charts": {"scores": leads_chart(self.records_where(region=self.region), self.label, self.looks)},
            "horizons": lead_tables.horizons(self),
            "regions": list(lead_tables.regions(self)),
            "region_overview": lead_tables.region_overview(self),
            "steps": list(self.steps()),
            "frames": self.frames,
            "frame_labels": self.frame_labels(),
            "pause": animation.MILLISECONDS,
            "animated": self.by_interest[:ANIMATED],
            "outcomes": lead_tables.outcomes(self),
            "fed_back": self.fed_back,
            "long_rollouts": lead_tables.long_rollout_table(self),
            "score_boards": list(self.score_boards()),
            "events": self.event_tables(),
        }

    def event_tables(self) -> EventTables:
        """Brier skill of events over the whole grid."""
        rows = self.event_scores
        if len(rows):
            rows = rows[(rows["variable"] == "all") & (rows["region"] == self.region)]
        main = self.glance_lead if self.board else None
        return EventTables(self, rows, Lead, ("lead_hours",), lead_tables.columns, main)

    def event_figures(self) -> dict[str, Figure]:
        """Reliability, ROC curve and economic value at some lead times."""
        if not self.events:
            return {}
        leads = some_leads(next(iter(self.events.values()))["lead_hours"].to_numpy().astype(float).tolist())
        columns = {lead_label(lead): {"lead_hours": lead, "region": self.region} for lead in leads}
        return event_figures(self, columns)

    def scored(self) -> dict[str, Any]:
        """Initial times, ensemble size and last lead time of the scored forecasts."""
        starts = [] if self.starts is None else self.starts.get("scored", [])
        last = self.board.cases[-1] if self.board.cases else ""
        return {"times": sorted(start[:10] for start in starts), "members": self.members, "last": last}

    def score_boards(self) -> Iterator[tuple[str, Any]]:
        """Title and table of all scores, overall and by variable, over the whole grid."""
        if not len(self.leaderboard):
            return
        for variable in dict.fromkeys(("all", *self.leaderboard["variable"].unique())):
            unit = "anomaly standard deviations" if variable == "all" else self.units.get(variable, "")
            title = f"{'All variables' if variable == 'all' else variable}, {unit}"
            yield title, all_scores_table(self, self.scores_of(variable, self.region), FORECAST.metrics)

    @property
    def glance_lead(self) -> Lead:
        """The lead time of the first screen: three days if it was scored, else the first."""
        return next((lead for lead in self.board.cases if lead.hours == GLANCE_HOURS), self.board.cases[0])

    def glance(self) -> Glance:
        return glance.forecast(self)

    def glance_figure(self) -> dict[str, Figure]:
        """The best experiment on the first screen; empty without examples of it."""
        if self.best not in self.examples:
            return {}
        stored = self.examples[self.best]
        variable = str(next(iter(stored.data_vars)))
        return {
            GLANCE: of_forecast(stored, variable, self.glance_lead.hours, self.label(self.best), self.outline)
        }

    def figures(self) -> dict[str, Figure]:
        """Figures that have content, by file name."""
        drawn = self.glance_figure()
        if len(self.leaderboard):
            board, looks, region = self.labelled_leaderboard, self.looks, self.region
            drawn["scores_against_lead"] = against_lead(board, region, looks)
            drawn["skill_and_spread"] = against_lead(board, region, looks, scores=("skill", "ssr"))
            drawn["variables_against_lead"] = variables_against_lead(board, self.units, region, looks)
        drawn |= self.diagnostic_figures() | self.event_figures()
        for steps in self.steps():
            examples = self.examples[steps.experiment]
            drawn[steps.file] = step_maps(
                examples, steps.variable, self.label(steps.experiment), outline=self.outline
            )
        return drawn | self.long_rollout_figures() | self.losses()

    @property
    def fed_back(self) -> list[str]:
        """Labels of the experiments whose next step starts from the ensemble mean."""
        return [self.label(name) for name in self.diagnostics if fed_on_mean(self, name)]

    def diagnostic_figures(self) -> dict[str, Figure]:
        """Rank histograms and spectra."""
        stored = self.labelled("diagnostics")
        if not stored:
            return {}
        leads = some_leads(next(iter(stored.values()))["lead"].to_numpy().astype(float).tolist())
        drawn = {"spectra": spectra_at_leads(stored, leads, self.looks, fed_on_mean=self.fed_back)}
        if any(dataset.sizes["rank"] > 2 for dataset in stored.values()):
            drawn["rank_histograms"] = lead_rank_histograms(stored, leads, self.looks)
        return drawn

    def long_rollout_figures(self) -> dict[str, Figure]:
        """Long-rollout figures: curves by step, and spectra and maps of snapshots of the first variable."""
        drawn = {}
        stability, snapshots = self.labelled("stability"), self.labelled("snapshots")
        if stability:
            drawn["stability"] = long_run(stability, self.looks)
        if snapshots:
            variable = first_variable(snapshots)
            maps = self.labelled("snapshot_anomalies") or snapshots
            drawn["snapshots"] = snapshot_maps(maps, variable, self.units.get(variable, ""), self.outline)
            if set(self.snapshots) & set(self.diagnostics):
                diagnostics = self.labelled("diagnostics")
                drawn["stability_spectra"] = long_rollout_spectra(
                    snapshots, diagnostics, variable, self.wraps
                )
        return drawn

    @property
    def wraps(self) -> bool:
        """Whether the grid is periodic in longitude."""
        kinds = [str(dataset.attrs.get("spectrum", "")) for dataset in self.diagnostics.values()]
        return not any(kind.startswith("regional") for kind in kinds)

    @cached_property
    def by_interest(self) -> list[str]:
        """Experiments with examples: the two best learned ones, the best classical one, then the rest; bounds last."""
        names = list(self.ordered("examples"))
        learned, classical, bounds = (
            [name for name in names if self.about[name].family == family]
            for family in ("learned", "classical", "bound")
        )
        return [*learned[:2], *classical[:1], *learned[2:], *classical[1:], *bounds]

    def steps(self) -> Iterator[Steps]:
        """First steps to draw: the first variable for several experiments, the other variables for one."""
        if not self.by_interest:
            return
        variables = [str(name) for name in self.examples[self.by_interest[0]].data_vars]
        yield from (Steps(name, variables[0]) for name in self.by_interest[:MAPPED])
        yield from (Steps(self.by_interest[0], variable) for variable in variables[1:])

    @cached_property
    def frames(self) -> list[Image.Image]:
        """Frames of the animation of the first variable; empty without examples."""
        examples = self.labelled({name: self.examples[name] for name in self.by_interest[:ANIMATED]})
        return animation.frames(examples, first_variable(examples), self.outline) if examples else []

    def frame_labels(self) -> list[str]:
        """The lead time of each frame."""
        if not self.by_interest:
            return []
        leads = self.examples[self.by_interest[0]]["lead"].to_numpy().astype(float)
        return ["start" if lead == 0 else str(Lead(lead)) for lead in leads]

    def animation(self) -> bytes | None:
        """The animation as a GIF file; None without examples."""
        return animation.gif(self.frames) if self.frames else None


def first_variable(stored: Mapping[str, xr.Dataset]) -> str:
    """The first variable of the first experiment."""
    return str(next(iter(next(iter(stored.values())).data_vars)))


def some_leads(leads: Sequence[float]) -> list[float]:
    """Lead times [hours] of 1, 5 and 10 days if at least two were scored; else first, middle and last."""
    usual = [lead for lead in leads if lead / 24 in DAYS]
    return list(dict.fromkeys(usual if len(usual) > 1 else (leads[0], leads[len(leads) // 2], leads[-1])))
