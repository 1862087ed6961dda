"""Results of the task `forecast`: its figures and the context of its template."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from fieldcast.calendars import SYMBOLS, UNITS, lead_label, unit_of
from fieldcast.figures import forecast_maps
from fieldcast.figures.calibration import lead_rank_histograms
from fieldcast.figures.curves import against_lead, variables_against_lead
from fieldcast.figures.forecast_maps import snapshot_maps, step_maps
from fieldcast.figures.long_rollout import long_run
from fieldcast.figures.pictures import forecast_glance
from fieldcast.figures.spectra import long_rollout_spectra, spectra_at_leads
from fieldcast.geometry import evenly_spaced_indices
from fieldcast.kinds import LEAD, InitialTimes
from fieldcast.report.comparisons import fed_on_mean, representative_cases, shared_context
from fieldcast.report.events import BrierSkillTables, event_figures
from fieldcast.report.first_screen import FEW_TIMES, MIN_INITIAL_TIMES, ROLLOUTS, general_doubts
from fieldcast.report.glossary import ANOMALY_DEVIATIONS, BLEW_UP, INTERVALS, Glossary
from fieldcast.report.results import GLANCE, Results, file_name
from fieldcast.report.score_tables import all_scores_table
from fieldcast.report.scores_by_case import Lead, ScoresByCase
from fieldcast.report.tables import Cell, Doubt, Table, number_cell, score_cell
from fieldcast.scores.bootstrap import Score
from fieldcast.scores.event_metrics import EVENT_METRICS
from fieldcast.scores.leaderboard import FORECAST, Layout, skill_horizon
from fieldcast.scores.numbers import compact
from fieldcast.scores.regions import WHOLE
from fieldcast.scores.stability import (
    DIVERGED_RMS,
    REALISTIC_POWER,
    REALISTIC_STD,
    outcomes,
    stability_horizons,
)

MAX_MAPPED = 8  # experiments whose first steps are drawn, unless the comparisons name more
GLANCE_HOURS = 72.0  # lead time of the first screen
MAX_ANIMATED = 3  # experiments side by side in the animation


class Steps(NamedTuple):
    """First steps of one experiment and variable: the content of a figure."""

    experiment: str
    variable: str

    @property
    def file(self) -> str:
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
    layout: ClassVar[Layout | None] = FORECAST
    drawn: ClassVar[str] = "forecasts"
    guide: ClassVar[Glossary] = Glossary(
        lambda: (*FORECAST.metrics.values(), *EVENT_METRICS.values()),
        (ANOMALY_DEVIATIONS, INTERVALS, BLEW_UP),
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
    def board(self) -> ScoresByCase:
        """Scores over all variables and the whole grid."""
        return self.scores_of("all", self.region)

    def scores_of(self, variable: str, region: str) -> ScoresByCase:
        return ScoresByCase(self.records_where(region=region, variable=variable), Lead, ("lead_hours",))

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
        return shared_context(self, "score", self.members) | {
            "leads": columns(self.board),
            "scored": self.scored_table(),
            "horizons": horizons(self),
            "regions": list(regions(self)),
            "region_overview": region_overview(self),
            "steps": list(self.steps()),
            "frames": self.frames,
            "frame_labels": self.frame_labels(),
            "pause": forecast_maps.FRAME_MILLISECONDS,
            "animated": self.by_interest[:MAX_ANIMATED],
            "fed_back": self.fed_back,
            "long_rollouts": long_rollout_table(self),
            "limits": {"rms": DIVERGED_RMS, "std": REALISTIC_STD, "power": REALISTIC_POWER},
            "score_boards": list(self.score_boards()),
            "events": self.event_tables(),
        }

    def event_tables(self) -> BrierSkillTables:
        """Brier skill of events over the whole grid."""
        scores = self.event_scores
        if len(scores):
            scores = scores[(scores["variable"] == "all") & (scores["region"] == self.region)]
        return BrierSkillTables(self, scores, Lead, ("lead_hours",), columns, self.first_case)

    @property
    def scored_times(self) -> list[str]:
        """Days of the scored initial times."""
        times = [] if self.initial_times is None else self.initial_times.get("scored", [])
        return sorted(start[:10] for start in times)

    def scored_table(self) -> Table:
        """Initial times, ensemble size and last lead time of the scored forecasts."""
        times = self.scored_times
        if not times or not self.board:
            return Table([], [])
        head = ["initial times", "first", "last", "members", "last lead time"]
        row = len(times), times[0], times[-1], self.members or "–", self.board.cases[-1]
        return Table(head, [[Cell(str(fact)) for fact in row]])

    def score_boards(self) -> Iterator[tuple[str, Any]]:
        """Title and table of all scores, overall and by variable, over the whole grid."""
        if not len(self.leaderboard):
            return
        for variable in dict.fromkeys(("all", *self.leaderboard["variable"].unique())):
            unit = "anomaly standard deviations" if variable == "all" else self.units.get(variable, "")
            title = f"{'All variables' if variable == 'all' else variable}, {unit}"
            yield title, all_scores_table(self, self.scores_of(variable, self.region), FORECAST.metrics)

    @property
    def first_case(self) -> Lead | None:
        """The lead time of the first screen: three days if it was scored, else the first."""
        leads = self.board.cases
        return next((lead for lead in leads if lead.hours == GLANCE_HOURS), leads[0] if leads else None)

    @property
    def doubts(self) -> list[Doubt]:
        """Few initial times, long rollouts that end without realistic weather, and reasons of all tasks."""
        doubts, times = list(general_doubts(self)), len(self.scored_times)
        if 0 < times < MIN_INITIAL_TIMES:
            doubts.append(Doubt(FEW_TIMES, str(times), "initial times: too few to rank forecasts"))
        ends = outcomes_by_experiment(self)
        lost = [self.label(name) for name, outcome in ends.items() if outcome != "realistic"]
        if lost:
            meaning = f"long rollouts end without realistic weather: {', '.join(lost)}"
            doubts.append(Doubt(ROLLOUTS, f"{len(lost)} of {len(ends)}", meaning))
        return doubts

    def curves(self) -> dict[str, Figure]:
        """Scores against the lead time, over all variables and by variable."""
        if not len(self.leaderboard):
            return {}
        board, looks, region = self.labelled_leaderboard, self.looks, self.region
        return {
            "scores_against_lead": against_lead(board, region, looks),
            "skill_and_spread": against_lead(board, region, looks, scores=("skill", "ssr")),
            "variables_against_lead": variables_against_lead(board, self.units, region, looks),
        }

    def figures(self) -> dict[str, Figure]:
        drawn = at_a_glance(self) | self.curves()
        drawn |= of_diagnostics(self) | of_events(self)
        drawn |= of_first_steps(self) | of_long_rollouts(self)
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
        """The experiment of most interest, all that a comparison names, and others up to `MAX_MAPPED`, by interest."""
        compared = {name for comparison in self.comparisons for name in comparison.experiments}
        first = [name for name in self.by_interest[1:] if name in compared]
        others = [name for name in self.by_interest[1:] if name not in compared]
        kept = {*self.by_interest[:1], *first, *others[: max(0, MAX_MAPPED - 1 - len(first))]}
        return [name for name in self.by_interest if name in kept]

    @cached_property
    def frames(self) -> list[Image.Image]:
        """Frames of the animation of the first variable; empty without examples."""
        examples = self.labelled({name: self.examples[name] for name in self.by_interest[:MAX_ANIMATED]})
        return forecast_maps.frames(examples, first_variable(examples), self.outline) if examples else []

    def frame_labels(self) -> list[str]:
        """The lead time of each frame."""
        if not self.by_interest:
            return []
        leads = self.examples[self.by_interest[0]][LEAD].to_numpy().astype(float)
        return ["start" if lead == 0 else str(Lead(lead)) for lead in leads]

    def animation(self) -> bytes | None:
        """The animation as a GIF file; None without examples."""
        return forecast_maps.gif(self.frames) if self.frames else None


# Figures of the task `forecast`: scores and diagnostics against lead time, events, first steps, long rollouts.


FIGURE_DAYS = (1, 5, 10)  # lead times of rank histograms and spectra


def at_a_glance(results: Forecast) -> dict[str, Figure]:
    """The best experiment on the first screen; empty without examples of it."""
    best = results.best
    if best not in results.examples:
        return {}
    stored = results.examples[best]
    variable = str(next(iter(stored.data_vars)))
    lead = results.first_case.hours if results.first_case else 0.0
    return {GLANCE: forecast_glance(stored, variable, lead, results.label(best), results.outline)}


def of_diagnostics(results: Forecast) -> dict[str, Figure]:
    """Spectra and, of ensembles, rank histograms."""
    stored = results.labelled("diagnostics")
    if not stored:
        return {}
    leads = representative_leads(next(iter(stored.values()))[LEAD].to_numpy().astype(float).tolist())
    drawn = {"spectra": spectra_at_leads(stored, leads, results.looks, fed_on_mean=results.fed_back)}
    if any(dataset.sizes["rank"] > 2 for dataset in stored.values()):
        drawn["rank_histograms"] = lead_rank_histograms(stored, leads, results.looks)
    return drawn


def of_events(results: Forecast) -> dict[str, Figure]:
    """Reliability, ROC curve and economic value at some lead times."""
    if not results.events:
        return {}
    leads = representative_leads(
        next(iter(results.events.values()))["lead_hours"].to_numpy().astype(float).tolist()
    )
    cases = {lead_label(lead): {"lead_hours": lead, "region": results.region} for lead in leads}
    return event_figures(results, cases)


def of_first_steps(results: Forecast) -> dict[str, Figure]:
    """Maps of the first steps of several experiments and variables."""
    return {
        steps.file: step_maps(
            results.examples[steps.experiment],
            steps.variable,
            results.label(steps.experiment),
            outline=results.outline,
        )
        for steps in results.steps()
    }


def of_long_rollouts(results: Forecast) -> dict[str, Figure]:
    """Curves by step, and spectra and maps of snapshots of the first variable."""
    drawn = {}
    if stability := results.labelled("stability"):
        drawn["stability"] = long_run(stability, results.looks)
    if snapshots := results.labelled("snapshots"):
        variable = first_variable(snapshots)
        maps = results.labelled("snapshot_anomalies") or snapshots
        drawn["snapshots"] = snapshot_maps(maps, variable, results.units.get(variable, ""), results.outline)
        if set(results.snapshots) & set(results.diagnostics):
            drawn["stability_spectra"] = long_rollout_spectra(
                snapshots, results.labelled("diagnostics"), variable, results.wraps
            )
    return drawn


def first_variable(stored: Mapping[str, xr.Dataset]) -> str:
    return str(next(iter(next(iter(stored.values())).data_vars)))


def representative_leads(leads: Sequence[float]) -> list[float]:
    """Lead times [hours] of 1, 5 and 10 days if at least two were scored; else first, middle and last."""
    standard = [lead for lead in leads if lead / 24 in FIGURE_DAYS]
    return list(
        dict.fromkeys(standard if len(standard) > 1 else (leads[0], leads[len(leads) // 2], leads[-1]))
    )


# Tables of forecasts: columns by lead time, skill horizons, regions and outcomes of long rollouts.


TABLE_DAYS = (1, 2, 3, 5, 7, 10, 15)  # lead times that are columns of tables


def columns(board: ScoresByCase) -> list[Lead]:
    """Lead times of a table: 1, 2, 3, 5, 7, 10 and 15 days, or up to seven evenly spaced."""
    selected = [lead for lead in board.cases if lead.hours / 24 in TABLE_DAYS]
    if len(selected) < 2 and board.cases:
        selected = [board.cases[index] for index in evenly_spaced_indices(len(board.cases), len(TABLE_DAYS))]
    return selected


def horizons(results: Forecast) -> Table:
    """Skill horizon of each experiment, overall and by variable; and the last lead with skill beyond its interval."""
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
        [
            results.head(name),
            significant_until(results.board, name),
            *(horizon(wide.loc[name].get(variable), last) for variable in variables),
        ]
        for name in results.order
        if name in wide.index
    ]
    return Table(["experiment", "all, 95 % interval", *variables], body)


def significant_until(board: ScoresByCase, name: str) -> Cell:
    """The last lead time up to which the interval of the skill lies above zero; a dash without intervals."""
    scores = [board.scores.get((name, lead, "skill"), Score(math.nan)) for lead in board.cases]
    if all(math.isnan(score.low) for score in scores):
        return Cell()
    leads = [
        lead for lead, _ in takewhile(lambda pair: pair[1].low > 0, zip(board.cases, scores, strict=True))
    ]
    return Cell(str(leads[-1]), leads[-1].hours) if leads else Cell("none", 0.0)


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


def region_boards(results: Forecast) -> dict[str, ScoresByCase]:
    """Scores over all variables in each region but the whole grid, by its name in words."""
    regions = results.leaderboard["region"].unique() if len(results.leaderboard) else []
    return {
        name.replace("_", " "): results.scores_of("all", name) for name in regions if name != results.region
    }


def regions(results: Forecast) -> Iterator[tuple[str, ScoresByCase, list[Lead]]]:
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


def outcomes_by_experiment(results: Forecast) -> dict[str, str]:
    """Outcome of the long rollout of each experiment: "blew up", "diverged", "unrealistic" or "realistic"."""
    stability = results.ordered("stability")
    ends = outcomes(stability)
    if not ends:
        return {}
    lost = {
        "blew up": dict(ends["blew_up"]),
        "diverged": dict(ends["diverged"]),
        "unrealistic": ends["unrealistic"],
    }
    return {
        name: next((end for end, names in lost.items() if name in names), "realistic") for name in stability
    }


def long_rollout_table(results: Forecast) -> Table:
    """Outcome of the long rollout of each experiment, in steps of the model."""
    ends = outcomes_by_experiment(results)
    body = [
        [
            results.head(run.experiment),
            Cell(ends[run.experiment]),
            *(step(value) for value in (run.below_one, run.passes_climatology, run.diverged, run.blow_up)),
            *(
                number_cell(value)._replace(text=compact(value))
                for value in (run.std, run.mean, run.spectrum_ratio)
            ),
        ]
        for run in stability_horizons(results.ordered("stability")).itertuples()
    ]
    head = [
        "experiment",
        "outcome",
        "MSE below 1 until step",
        "exceeds the climatology's at step",
        "diverged at step",
    ]
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
