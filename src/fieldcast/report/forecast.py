"""Results of the task `forecast`: its figures and the context of its template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from fieldcast.figures import animation
from fieldcast.initial_times import InitialTimes
from fieldcast.report import forecast_figures, glance, lead_tables
from fieldcast.report.board import Board, Lead
from fieldcast.report.charts import leads_chart
from fieldcast.report.context import shared_context
from fieldcast.report.events import BrierSkillTables
from fieldcast.report.glance import Glance
from fieldcast.report.guide import ANOMALY_DEVIATIONS, BLEW_UP, INTERVALS, Guide, metrics_of
from fieldcast.report.results import Results, file_name
from fieldcast.report.score_tables import all_scores_table
from fieldcast.report.study_answers import fed_on_mean
from fieldcast.scores.event_metrics import EVENT_METRICS
from fieldcast.scores.leaderboard_schema import FORECAST
from fieldcast.scores.regions import WHOLE

MAX_MAPPED = 8  # experiments whose first steps are drawn, unless the studies name more
GLANCE_HOURS = 72.0  # lead time of the first screen
MAX_ANIMATED = 3  # experiments side by side in the animation


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

    Maps show `snapshot_anomalies`, the snapshots as anomalies, where they are given; `wraps`
    tells whether the grid is periodic in longitude.
    """

    initial_times: InitialTimes | None = None
    stability: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    snapshots: Mapping[str, xr.Dataset] = field(default_factory=dict)
    snapshot_anomalies: Mapping[str, xr.Dataset] = field(default_factory=dict)
    wraps: bool = True

    by_experiment: ClassVar[tuple[str, ...]] = (
        *Results.by_experiment, "stability", "snapshots", "snapshot_anomalies",
    )  # fmt: skip
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
        return 0 if self.initial_times is None else self.initial_times.get("members", 0)

    def context(self) -> dict[str, Any]:
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
            "pause": animation.FRAME_MILLISECONDS,
            "animated": self.by_interest[:MAX_ANIMATED],
            "outcomes": lead_tables.outcomes(self),
            "fed_back": self.fed_back,
            "long_rollouts": lead_tables.long_rollout_table(self),
            "score_boards": list(self.score_boards()),
            "events": self.event_tables(),
        }

    def event_tables(self) -> BrierSkillTables:
        """Brier skill of events over the whole grid."""
        scores = self.event_scores
        if len(scores):
            scores = scores[(scores["variable"] == "all") & (scores["region"] == self.region)]
        main = self.glance_lead if self.board else None
        return BrierSkillTables(self, scores, Lead, ("lead_hours",), lead_tables.columns, main)

    def scored(self) -> dict[str, Any]:
        """Initial times, ensemble size and last lead time of the scored forecasts."""
        times = [] if self.initial_times is None else self.initial_times.get("scored", [])
        last = self.board.cases[-1] if self.board.cases else ""
        return {"times": sorted(start[:10] for start in times), "members": self.members, "last": last}

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

    def figures(self) -> dict[str, Figure]:
        drawn = forecast_figures.at_a_glance(self) | forecast_figures.of_scores(self)
        drawn |= forecast_figures.of_diagnostics(self) | forecast_figures.of_events(self)
        drawn |= forecast_figures.of_first_steps(self) | forecast_figures.of_long_rollouts(self)
        return drawn | self.losses()

    @property
    def fed_back(self) -> list[str]:
        """Labels of the experiments whose next step starts from the ensemble mean."""
        return [self.label(name) for name in self.diagnostics if fed_on_mean(self, name)]

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
        yield from (Steps(name, variables[0]) for name in self.mapped())
        yield from (Steps(self.by_interest[0], variable) for variable in variables[1:])

    def mapped(self) -> list[str]:
        """The experiment of most interest and all that a study names, then others up to `MAX_MAPPED`, by interest."""
        compared = {name for study in self.studies for name in study.experiments}
        first = [name for name in self.by_interest[1:] if name in compared]
        others = [name for name in self.by_interest[1:] if name not in compared]
        kept = {*self.by_interest[:1], *first, *others[: max(0, MAX_MAPPED - 1 - len(first))]}
        return [name for name in self.by_interest if name in kept]

    @cached_property
    def frames(self) -> list[Image.Image]:
        """Frames of the animation of the first variable; empty without examples."""
        examples = self.labelled({name: self.examples[name] for name in self.by_interest[:MAX_ANIMATED]})
        return (
            animation.frames(examples, forecast_figures.first_variable(examples), self.outline)
            if examples
            else []
        )

    def frame_labels(self) -> list[str]:
        """The lead time of each frame."""
        if not self.by_interest:
            return []
        leads = self.examples[self.by_interest[0]]["lead"].to_numpy().astype(float)
        return ["start" if lead == 0 else str(Lead(lead)) for lead in leads]

    def animation(self) -> bytes | None:
        """The animation as a GIF file; None without examples."""
        return animation.gif(self.frames) if self.frames else None
