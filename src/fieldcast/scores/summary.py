"""The lines that a run prints at its end: a leaderboard, or one over several seeds, as plain text.

Over seeds (`multi_seed.over_seeds`) a cell is the mean ± the standard deviation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import isinf, isnan, nan
from textwrap import wrap
from types import MappingProxyType
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.scores.leaderboard import skill_horizon
from fieldcast.scores.leaderboard_schema import FORECAST, RECONSTRUCT, Layout
from fieldcast.scores.metrics import Comparison, Metric, in_summary
from fieldcast.scores.regions import WHOLE
from fieldcast.scores.sample_metrics import SAMPLE_METRICS
from fieldcast.scores.stability import DIVERGED_RMS, stability_horizons
from fieldcast.scores.text_table import LINE, grid

PAIRED = " (95 % interval of the paired difference; * it leaves out 0)"
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
NONE = "No experiment has been scored yet."
REAL, NOISE = "(real states)", "(noise)"
FIELDS = "standardised"  # the treatment of fields, always

Attributes = Mapping[str, Any]  # of the diagnostics of an experiment


def reconstruct_summary(leaderboard: pd.DataFrame) -> str:
    """Reconstructions by k: mean over variables in anomaly standard deviations, on unobserved cells.

    Of the pattern `random`, or the first there is; experiments in order of their CRPS.
    """
    table = leaderboard[(leaderboard["variable"] == "all") & (leaderboard["cells"] == "unobserved")]
    if table.empty:
        return NONE
    patterns = list(table["pattern"].unique())
    pattern = "random" if "random" in patterns else patterns[0]
    table = table[table["pattern"] == pattern]
    levels = {k: f"{100 * k:.4g} %" for k in map(float, sorted(table["k"].unique()))}
    title = f"Unobserved cells, all variables, pattern {pattern}; anomaly standard deviations"
    return "\n".join([title, *seeds(table), *blocks(table, "k", levels, RECONSTRUCT)])


def forecast_summary(leaderboard: pd.DataFrame, stability: Mapping[str, pd.DataFrame] | None = None) -> str:
    """Forecasts by lead time: mean over variables in anomaly standard deviations, over the whole grid.

    At 1, 2, 3, 5 and 10 days where these were scored, else at the first five lead times; then the skill horizons and
    the outcome of the long rollouts, if there are any.
    """
    table = leaderboard[(leaderboard["variable"] == "all") & leaderboard["region"].isin(WHOLE)]
    if table.empty:
        return NONE
    leads = sorted(float(lead) for lead in table["lead_hours"].unique())
    leads = [lead for lead in leads if lead / 24 in DAYS] or leads[:5]
    levels = {lead: f"{lead / 24:.4g} d" for lead in leads}
    title = f"Forecasts, all variables, {table['region'].iloc[0]}; anomaly standard deviations"
    scores = blocks(table, "lead_hours", levels, FORECAST)
    rollouts = {name: stability[name] for name in by_crps(table) if name in stability} if stability else {}
    return "\n".join([title, *seeds(table), *scores, *horizons(table), *long_rollouts(rollouts)])


def sample_summary(
    leaderboard: pd.DataFrame, diagnostics: Mapping[str, xr.Dataset] = MappingProxyType({})
) -> str:
    """Samples: a line for each experiment, the lowest FID first; a column for each score that one of them has.

    The first line holds the scores of training states in the place of samples, the lower bound for any model; the next
    those of noise, each cell on its own. Both are means over the experiments. A column names the treatment of images.
    """
    numbers = leaderboard.reindex(columns=["experiment", "score", "value", "sd"])
    means = numbers.groupby(["experiment", "score"]).mean()
    values, sd = (means[name].unstack("score") for name in ("value", "sd"))
    scores = [name for name in in_summary(SAMPLE_METRICS) if name in values and values[name].notna().any()]
    if not scores:
        return NONE
    order = list(map(str, (values["fid"].sort_values() if "fid" in values else values).index))
    attributes = {name: diagnostics[name].attrs for name in order if name in diagnostics}
    lines = [
        "Samples beside test states",
        *wrap(directions(scores), LINE),
        *seeds(leaderboard),
        *sizes(attributes, values),
    ]
    table = bounds(values, attributes.values(), scores)
    for name in order:
        cells = zip(values.loc[name, scores], sd.loc[name, scores], scores, strict=True)
        table[name] = [sample_cell(*cell) for cell in cells]
    headings = [SAMPLE_METRICS[score].title for score in scores]
    return "\n".join([*lines, "", *grid("", *with_treatments(headings, table, attributes), 10)])


def horizons(leaderboard: pd.DataFrame) -> list[str]:
    """The skill horizon of each experiment in days, in one sentence; empty for a table over seeds."""
    if "seed" not in leaderboard or leaderboard["seed"].nunique() != 1:
        return []
    table = skill_horizon(leaderboard).sort_values("lead_hours", ascending=False)
    skill = leaderboard[leaderboard["score"] == "skill"].groupby("experiment")["value"]
    references = [name for name, values in skill if (values == 0).all()]  # skill is relative to it
    table = table[~table["experiment"].isin(references)]
    last = f"> {leaderboard['lead_hours'].max() / 24:.4g}"
    days = (last if isinf(hours) else f"{hours / 24:.1f}" for hours in table["lead_hours"])
    ends = ", ".join(f"{name} {day}" for name, day in zip(table["experiment"], days, strict=True))
    sentence = f"skill over the climatological ensemble, by CRPS, ends after (days): {ends}"
    return ["", *wrap(sentence, LINE)] if ends else []


def long_rollouts(stability: Mapping[str, pd.DataFrame]) -> list[str]:
    """A line for each experiment: at which step the ensemble mean fails, and the statistics of the last step."""
    table = stability_horizons(stability).set_index("experiment")
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
    return ["", *title, *grid("", list(LONG_ROLLOUT.values()), cells, 9)]


def rollout_cell(value: float, column: str) -> str:
    """Steps as whole numbers, empty where there is none; std and the ratio with two decimals."""
    if isnan(value):
        return ""
    if column not in ("std", "spectrum_ratio"):
        return f"{value:.0f}"
    return f"{value:.2f}" if value < 1000 else f"{value:.0e}"


def seeds(table: pd.DataFrame) -> list[str]:
    """The line below the title of a table over seeds: how many there are."""
    if "seeds" not in table:
        return []
    counts = table.loc[table["value"].notna(), "seeds"]
    least = "" if counts.min() == counts.max() else f"{counts.min()} to "
    return [f"mean ± standard deviation; seeds: {least}{counts.max()}"]


def blocks(table: pd.DataFrame, column: str, levels: Mapping[float, str], layout: Layout) -> list[str]:
    """A table for each score of the summary: experiments in order of their CRPS, by the levels of `column`."""
    table = table[table[column].isin(list(levels))]
    order = by_crps(table)
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
        cells = {place: score_cell(row, metric) for place, row in means.iterrows()}
        present = set(scores["experiment"])
        by_name = {name: [cells.get((name, k), "") for k in levels] for name in order if name in present}
        title = heading(metric, intervals=bool(means["low"].notna().any()))
        lines += ["", title, *grid(corner, list(levels.values()), by_name, 9)]
    return lines


def heading(metric: Metric, intervals: bool) -> str:
    """Title of a block: which values are better, or how to read a paired difference that has intervals."""
    if isinstance(metric, Comparison):
        return metric.title + (PAIRED if intervals else "")
    return f"{metric.title} ({metric.direction})"


def by_crps(table: pd.DataFrame) -> list[str]:
    """The experiments, the best first."""
    crps = table[table["score"] == "crps"].groupby("experiment")["value"].mean()
    return [str(name) for name in crps.sort_values().index]


def score_cell(row: pd.Series, metric: Metric) -> str:
    """The value, ± its standard deviation over seeds; of a paired difference with its interval."""
    sign = "+" if isinstance(metric, Comparison) else ""
    text = number(row["value"], sign)
    if not isnan(row["sd"]):
        return f"{text} ± {number(row['sd'])} "
    if sign and row[["low", "high"]].notna().all():
        # a star is seen at a glance, and where a bound rounds to 0.000
        star = "*" if row["low"] > 0 or row["high"] < 0 else " "
        return f"{text} ({number(row['low'], sign)}, {number(row['high'], sign)}){star}"
    return f"{text} "


def number(value: float, sign: str = "") -> str:
    """Three decimals, or two digits of the large value of a model that is about to blow up."""
    return format(value, f"{sign}.3f" if abs(value) < 1000 else f"{sign}.2g")


def directions(scores: Sequence[str]) -> str:
    """Which values of samples are better: "lower is better: FID, KID; 0.5 is best: C2ST"."""
    headings: dict[str, list[str]] = {}
    for score in scores:
        headings.setdefault(SAMPLE_METRICS[score].direction, []).append(SAMPLE_METRICS[score].heading)
    return "; ".join(f"{direction}: {', '.join(names)}" for direction, names in headings.items())


def sizes(attributes: Mapping[str, Attributes], values: pd.DataFrame) -> list[str]:
    """The numbers of states in a distance and of draws in the bound; no line where neither is stored."""
    bounded = [
        attrs for name, attrs in attributes.items() if "iwae" in values and values["iwae"].notna()[name]
    ]
    samples, real = (counts(attributes.values(), name) for name in ("samples", "real"))
    draws = counts(bounded, "K")
    parts = [f"{samples} samples against {real} test states" if samples and real else ""]
    parts += [f"IWAE with K = {draws}" if draws else ""]
    return ["; ".join(filter(None, parts))] if any(parts) else []


def counts(attributes: Collection[Attributes], name: str) -> str:
    """An attribute of several experiments, each number once, without zero."""
    return " or ".join(
        str(value) for value in sorted({int(attrs.get(name, 0)) for attrs in attributes} - {0})
    )


def bounds(
    values: pd.DataFrame, attributes: Collection[Attributes], scores: Sequence[str]
) -> dict[str, list[str]]:
    """Cells of real states and of noise in the place of samples, where stored."""
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
    """Headings and lines with the treatment of images in front, if there are any."""
    treatments = {name: attrs.get("treatment", FIELDS) for name, attrs in attributes.items()}
    treatments = {name: treatment for name, treatment in treatments.items() if treatment != FIELDS}
    if not treatments:
        return headings, dict(table)
    return ["sees", *headings], {name: [treatments.get(name, ""), *row] for name, row in table.items()}


def sample_cell(value: float, sd: float, score: str) -> str:
    """The value, ± its standard deviation over seeds; blank where there is none."""
    if isnan(value):
        return ""
    return format(value, SAMPLE_METRICS[score].digits) + ("" if isnan(sd) else f" ± {sd:.3g}")
