"""Summaries that a run of reconstructions or forecasts prints at its end: a leaderboard as plain text.

A cell of a leaderboard over several seeds (`multi_seed.over_seeds`) is the mean ± the standard deviation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import ceil, isinf, isnan, nan
from textwrap import wrap
from types import MappingProxyType
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.calendars import UNITS, lead_label, nominal
from fieldcast.scores.leaderboard import ASSIMILATE, FORECAST, RECONSTRUCT, Layout, skill_horizon
from fieldcast.scores.metrics import Metric, RelativeMetric
from fieldcast.scores.regions import WHOLE
from fieldcast.scores.sample_metrics import SAMPLE_METRICS
from fieldcast.scores.score_info import in_summary
from fieldcast.scores.stability import DIVERGED_RMS, stability_horizons

PAIRED_NOTE = " (95 % interval of the paired difference; * it excludes 0)"
LONG_ROLLOUT = {  # column of `stability_horizons`: its heading
    "steps": "steps",
    "below_one": "MSE < 1 to",
    "passes_climatology": "as clim.",
    "diverged": "diverged",
    "blow_up": "blew up",
    "std": "std",
    "spectrum_ratio": "waves",
}
DAYS = (1, 2, 3, 5, 10)  # lead times to show, where they exist
NO_SCORES = "No experiment has been scored yet."


def reconstruct_summary(leaderboard: pd.DataFrame) -> str:
    """Scores of reconstructions by k: means over variables in anomaly standard deviations, on unobserved cells.

    Shows the pattern `random`, or else the first pattern; experiments are in order of their CRPS.
    """
    table = leaderboard[(leaderboard["variable"] == "all") & (leaderboard["cells"] == "unobserved")]
    return by_fraction(table, "Unobserved cells", RECONSTRUCT)


def assimilate_summary(leaderboard: pd.DataFrame) -> str:
    """Scores of analyses by k, as of reconstructions, and statistics of the innovations."""
    table = leaderboard[leaderboard["variable"] == "all"]
    if table.empty:
        return NO_SCORES
    analyses = table[(table["state"] == "analysis") & (table["cells"] == "unobserved")]
    analysed = by_fraction(analyses, "Analyses at unobserved cells", ASSIMILATE)
    innovations = by_fraction(
        table[table["cells"] == "observed"], "Observations minus background", ASSIMILATE
    )
    return f"{analysed}\n\n{innovations}"


def by_fraction(table: pd.DataFrame, subject: str, layout: Layout) -> str:
    """The scores of a table by k, for the pattern `random` or else the first one."""
    if table.empty:
        return NO_SCORES
    patterns = list(table["pattern"].unique())
    pattern = "random" if "random" in patterns else patterns[0]
    table = table[table["pattern"] == pattern]
    levels = {k: f"{100 * k:.4g} %" for k in map(float, sorted(table["k"].unique()))}
    title = f"{subject}, all variables, pattern {pattern}; anomaly standard deviations"
    return "\n".join([title, *seeds(table), *blocks(table, "k", levels, layout)])


def forecast_summary(leaderboard: pd.DataFrame, stability: Mapping[str, pd.DataFrame] | None = None) -> str:
    """Scores of forecasts by lead time: means over variables in anomaly standard deviations, over the whole grid.

    Shows 1, 2, 3, 5 and 10 days where these were scored, else the first five lead times; then the skill horizons and
    the outcome of the long rollouts, if there are any.
    """
    return forecast_table(leaderboard, stability_horizons(stability or {}))


def forecast_table(leaderboard: pd.DataFrame, rollouts: pd.DataFrame) -> str:
    """Scores of forecasts by lead time, given the outcomes of long rollouts as `stability_horizons` lists them."""
    table = leaderboard[(leaderboard["variable"] == "all") & leaderboard["region"].isin(WHOLE)]
    if table.empty:
        return NO_SCORES
    levels = {lead: lead_label(lead) for lead in leads_to_show(table)}
    title = f"Forecasts, all variables, {table['region'].iloc[0]}; anomaly standard deviations"
    scores = blocks(table, "lead_hours", levels, FORECAST)
    return "\n".join(
        [title, *seeds(table), *scores, *horizons(table), *long_rollouts(rollouts, by_crps(table))]
    )


def leads_to_show(table: pd.DataFrame) -> list[float]:
    """Leads of 1, 2, 3, 5 and 10 days where a table has any of them, else the first five leads [hours]."""
    leads = sorted(float(lead) for lead in table["lead_hours"].unique())
    return [lead for lead in leads if lead / 24 in DAYS] or leads[:5]


def horizons(leaderboard: pd.DataFrame) -> list[str]:
    """The skill horizon of each experiment in days, in one sentence; empty for a table over seeds."""
    if "seed" not in leaderboard or leaderboard["seed"].nunique() != 1:
        return []
    table = skill_horizon(leaderboard).sort_values("lead_hours", ascending=False)
    skill = leaderboard[leaderboard["score"] == "skill"].groupby("experiment")["value"]
    references = [name for name, values in skill if (values == 0).all()]  # skill is relative to them
    table = table[~table["experiment"].isin(references)]
    size, unit = nominal(float(leaderboard["lead_hours"].max()))
    leads = (
        f"> {size:.4g}" if isinf(hours) else f"{hours / UNITS[unit]:.1f}" for hours in table["lead_hours"]
    )
    listed = ", ".join(f"{name} {lead}" for name, lead in zip(table["experiment"], leads, strict=True))
    sentence = f"skill over the climatological ensemble, by CRPS, ends after ({unit}s): {listed}"
    return ["", *wrap(sentence, LINE_WIDTH)] if listed else []


def long_rollouts(rollouts: pd.DataFrame, order: Sequence[str]) -> list[str]:
    """A line for each experiment: the step at which the ensemble mean fails, and the statistics of the last step."""
    if rollouts.empty:
        return []
    table = rollouts.set_index("experiment")
    table = table.loc[[name for name in order if name in table.index]]
    if table.empty:
        return []
    title = [
        "long rollout (MSE of the mean: last step below 1, first as large as that of the climatology; diverged: first",
        f"step with a root mean square of anomalies above {DIVERGED_RMS:g}; blew up: first step that is not finite;",
        "std, ideally 1, and power at short waves over the truth's: at the last finite step)",
    ]
    cells = {
        str(name): [rollout_cell(row[column], column) for column in LONG_ROLLOUT]
        for name, row in table[list(LONG_ROLLOUT)].iterrows()
    }
    return ["", *title, *text_table("", list(LONG_ROLLOUT.values()), cells, 9)]


def rollout_cell(value: float, column: str) -> str:
    """Cell of the table of long rollouts: steps as integers, std and the ratio with two decimals, NaN as empty text."""
    if isnan(value):
        return ""
    if column not in ("std", "spectrum_ratio"):
        return f"{value:.0f}"
    return f"{value:.2f}" if value < 1000 else f"{value:.0e}"


def seeds(table: pd.DataFrame) -> list[str]:
    """Line below the title of a table over seeds with their number; no line for a single run."""
    if "seeds" not in table:
        return []
    counts = table.loc[table["value"].notna(), "seeds"]
    lowest = "" if counts.min() == counts.max() else f"{counts.min()} to "
    return [f"mean ± standard deviation; seeds: {lowest}{counts.max()}"]


def blocks(table: pd.DataFrame, column: str, levels: Mapping[float, str], layout: Layout) -> list[str]:
    """A table for each score of the summary: experiments in order of their CRPS, by the levels of `column`.

    Without a CRPS, they are in the order of the table.
    """
    table = table[table[column].isin(list(levels))]
    order = by_crps(table) or list(table["experiment"].unique())
    width = max((len(name) for name in order), default=0)
    corner = f"{ ({'lead_hours': 'lead'}.get(column, column)):<{width}}"
    lines: list[str] = []
    for score in in_summary(layout.metrics):
        metric = layout.metrics[score]
        scores = table[(table["score"] == score) & table["value"].notna()]
        if scores.empty:
            continue
        numbers = scores.reindex(columns=["experiment", column, "value", "low", "high", "sd"])
        means = numbers.groupby(["experiment", column]).mean()
        cells = {case: score_cell(row, metric) for case, row in means.iterrows()}
        present = set(scores["experiment"])
        by_name = {name: [cells.get((name, k), "") for k in levels] for name in order if name in present}
        title = heading(metric, intervals=bool(means["low"].notna().any()))
        lines += ["", title, *text_table(corner, list(levels.values()), by_name, 9)]
    return lines


def heading(metric: Metric, intervals: bool) -> str:
    """Title of a block, with the direction of the score or a note on paired differences that have intervals."""
    if isinstance(metric, RelativeMetric) and metric.signed:
        return metric.title + (PAIRED_NOTE if intervals else "")
    return f"{metric.title} ({metric.direction})" if metric.direction else metric.title


def by_crps(table: pd.DataFrame) -> list[str]:
    """Names of the experiments, the lowest CRPS first."""
    crps = table[table["score"] == "crps"].groupby("experiment")["value"].mean()
    return [str(name) for name in crps.sort_values().index]


def score_cell(row: pd.Series, metric: Metric) -> str:
    """The value, with ± its standard deviation over seeds, or with the interval of a paired difference."""
    sign = "+" if isinstance(metric, RelativeMetric) and metric.signed else ""
    text = number(row["value"], sign)
    if not isnan(row["sd"]):
        return f"{text} ± {number(row['sd'])} "
    if sign and row[["low", "high"]].notna().all():
        # a star helps where a bound rounds to 0.000
        star = "*" if row["low"] > 0 or row["high"] < 0 else " "
        return f"{text} ({number(row['low'], sign)}, {number(row['high'], sign)}){star}"
    return f"{text} "


def number(value: float, sign: str = "") -> str:
    """The value with three decimals, or with two significant digits if a model is about to blow up."""
    return format(value, f"{sign}.3f" if abs(value) < 1000 else f"{sign}.2g")


# Tables as plain text, in lines that fit a terminal.


LINE_WIDTH = 110  # characters of a line, at most


def text_table(
    corner: str, headings: Sequence[str], table: Mapping[str, Sequence[str]], min_width: int
) -> Iterator[str]:
    """Lines of named rows, cells right-aligned in columns of at least `min_width` characters.

    Columns that do not fit into LINE_WIDTH characters continue below the others, in blocks of equal width; a block
    lists only the rows that have a cell in it.
    """
    width = max(len(name) for name in (corner, *table)) + 2
    cell = max(min_width, 2 + max(len(text) for cells in (headings, *table.values()) for text in cells))
    blocks = ceil(len(headings) / max(1, (LINE_WIDTH - width) // cell))
    columns = ceil(len(headings) / blocks)
    for start in range(0, len(headings), columns):
        for name, cells in ((corner, headings), *table.items()):
            part = cells[start : start + columns]
            if any(part):
                yield f"{name:<{width}}{''.join(f'{text:>{cell}}' for text in part)}".rstrip()


# Summary that a run of samples prints at its end: the leaderboard of samples as plain text.
#
# A cell of a leaderboard over several seeds (`multi_seed.over_seeds`) is the mean ± the standard deviation.


REAL, NOISE = "(real states)", "(noise)"
FIELDS = "standardised"  # the only treatment of fields

Attributes = Mapping[str, Any]  # attributes of the diagnostics of an experiment


def sample_summary(
    leaderboard: pd.DataFrame, diagnostics: Mapping[str, xr.Dataset] = MappingProxyType({})
) -> str:
    """Scores of samples: a line for each experiment, the lowest FID first; a column for each score that any of them
    has.

    The first line holds the scores of training states instead of samples, a lower bound for any model; the next line
    those of noise that is independent in each cell. Both are means over the experiments. For images a column names
    the treatment.
    """
    numbers = leaderboard.reindex(columns=["experiment", "score", "value", "sd"])
    means = numbers.groupby(["experiment", "score"]).mean()
    values, sd = (means[name].unstack("score") for name in ("value", "sd"))
    scores = [name for name in in_summary(SAMPLE_METRICS) if name in values and values[name].notna().any()]
    if not scores:
        return NO_SCORES
    order = list(map(str, (values["fid"].sort_values() if "fid" in values else values).index))
    attributes = {name: diagnostics[name].attrs for name in order if name in diagnostics}
    lines = [
        "Samples beside test states",
        *wrap(directions(scores), LINE_WIDTH),
        *seeds(leaderboard),
        *sizes(attributes, values),
    ]
    table = floors_and_ceilings(values, attributes.values(), scores)
    for name in order:
        cells = zip(values.loc[name, scores], sd.loc[name, scores], scores, strict=True)
        table[name] = [sample_cell(*cell) for cell in cells]
    headings = [SAMPLE_METRICS[score].title for score in scores]
    return "\n".join([*lines, "", *text_table("", *with_treatments(headings, table, attributes), 10)])


def directions(scores: Sequence[str]) -> str:
    """Direction of each score, as in "lower is better: FID, KID; 0.5 is best: C2ST"."""
    headings: dict[str, list[str]] = {}
    for score in scores:
        headings.setdefault(SAMPLE_METRICS[score].direction, []).append(SAMPLE_METRICS[score].heading)
    return "; ".join(f"{direction}: {', '.join(names)}" for direction, names in headings.items())


def sizes(attributes: Mapping[str, Attributes], values: pd.DataFrame) -> list[str]:
    """Line with the numbers of states in distances and of draws in the bound; no line where neither is stored."""
    bounded = [
        attrs for name, attrs in attributes.items() if "iwae" in values and values["iwae"].notna()[name]
    ]
    samples, real = (counts(attributes.values(), name) for name in ("samples", "real"))
    draws = counts(bounded, "K")
    clauses = [f"{samples} samples against {real} test states" if samples and real else ""]
    clauses += [f"IWAE with K = {draws}" if draws else ""]
    return ["; ".join(filter(None, clauses))] if any(clauses) else []


def counts(attributes: Collection[Attributes], name: str) -> str:
    """Values of an attribute over several experiments, each listed once and without zero."""
    return " or ".join(
        str(value) for value in sorted({int(attrs.get(name, 0)) for attrs in attributes} - {0})
    )


def floors_and_ceilings(
    values: pd.DataFrame, attributes: Collection[Attributes], scores: Sequence[str]
) -> dict[str, list[str]]:
    """Cells with the scores of real states and of noise instead of samples, where they are stored."""
    floors = (f"{score}_floor" for score in scores)
    real = [float(values[floor].mean()) if floor in values else nan for floor in floors]
    ceilings = ([attrs.get(f"{score}_ceiling") for attrs in attributes] for score in scores)
    noise = [float(pd.Series(ceiling, dtype=float).mean()) for ceiling in ceilings]
    return {
        name: [sample_cell(value, nan, score) for value, score in zip(row, scores, strict=True)]
        for name, row in ((REAL, real), (NOISE, noise))
        if not all(map(isnan, row))
    }


def with_treatments(
    headings: list[str], table: Mapping[str, list[str]], attributes: Mapping[str, Attributes]
) -> tuple[list[str], dict[str, list[str]]]:
    """Headings and lines, preceded by a column with the treatment if the samples are images."""
    treatments = {name: attrs.get("treatment", FIELDS) for name, attrs in attributes.items()}
    treatments = {name: treatment for name, treatment in treatments.items() if treatment != FIELDS}
    if not treatments:
        return headings, dict(table)
    return ["treatment", *headings], {name: [treatments.get(name, ""), *row] for name, row in table.items()}


def sample_cell(value: float, sd: float, score: str) -> str:
    """The value, with ± its standard deviation over seeds if it has one; blank for NaN."""
    if isnan(value):
        return ""
    return format(value, SAMPLE_METRICS[score].digits) + ("" if isnan(sd) else f" ± {sd:.3g}")
