"""The few lines that a run ends with: of its leaderboard, or of a table over seeds (`seeds.over_seeds`).

Of the latter a cell is the mean over seeds ± its standard deviation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, isinf, isnan
from textwrap import wrap

import pandas as pd

from fieldcast.scores.leaderboard import skill_horizon
from fieldcast.scores.leaderboard_schema import FORECAST, RECONSTRUCT, Layout
from fieldcast.scores.metrics import Comparison, Metric
from fieldcast.scores.regions import WHOLE
from fieldcast.scores.stability import WILD, stability_horizons

PAIRED = " (95 % interval of the paired difference; * it leaves out 0)"
LONG = {  # by what the long rollout came to: its column
    "steps": "steps",
    "below_one": "MSE < 1 to",
    "passes_climatology": "as clim.",
    "wild": "wild",
    "blow_up": "blew up",
    "std": "std",
    "spectrum_ratio": "waves",
}
DAYS = (1, 2, 3, 5, 10)  # leads to show, where they exist
NONE = "No experiment has been scored yet."
LINE = 110  # characters that a line has at most


def short_table(leaderboard: pd.DataFrame) -> str:
    """Plain text: experiments by k, mean over variables in anomaly standard deviations, on unobserved cells.

    Of the pattern `random`, or the first there is; experiments in order of their CRPS.
    """
    chosen = leaderboard[(leaderboard["variable"] == "all") & (leaderboard["cells"] == "unobserved")]
    if chosen.empty:
        return NONE
    patterns = list(chosen["pattern"].unique())
    pattern = "random" if "random" in patterns else patterns[0]
    chosen = chosen[chosen["pattern"] == pattern]
    levels = {k: f"{100 * k:.4g} %" for k in map(float, sorted(chosen["k"].unique()))}
    title = f"Unobserved cells, all variables, pattern {pattern}; anomaly standard deviations"
    return "\n".join([title, *seeds_told(chosen), *blocks(chosen, "k", levels, RECONSTRUCT)])


def forecast_short_table(
    leaderboard: pd.DataFrame, stability: Mapping[str, pd.DataFrame] | None = None
) -> str:
    """Plain text: experiments by lead, mean over variables in anomaly standard deviations, over the whole grid.

    At 1, 2, 3, 5 and 10 days where these were scored, else at the first five leads; below, until when each has skill,
    and what the long rollouts came to, if there are any.
    """
    chosen = leaderboard[(leaderboard["variable"] == "all") & leaderboard["region"].isin(WHOLE)]
    if chosen.empty:
        return NONE
    leads = sorted(float(lead) for lead in chosen["lead_hours"].unique())
    shown = [lead for lead in leads if lead / 24 in DAYS] or leads[:5]
    levels = {lead: f"{lead / 24:.4g} d" for lead in shown}
    title = f"Forecasts, all variables, {chosen['region'].iloc[0]}; anomaly standard deviations"
    told = [title, *seeds_told(chosen), *blocks(chosen, "lead_hours", levels, FORECAST), *horizons(chosen)]
    known = {name: (stability or {}).get(name) for name in by_crps(chosen)}
    return "\n".join([*told, *long_rollouts({name: one for name, one in known.items() if one is not None})])


def horizons(leaderboard: pd.DataFrame) -> list[str]:
    """The days at which the skill of each experiment ends, in one sentence; of one seed only."""
    if "seed" not in leaderboard or leaderboard["seed"].nunique() != 1:
        return []
    found = skill_horizon(leaderboard)
    found = found[found["experiment"] != "climatological_ensemble"].sort_values("lead_hours", ascending=False)
    last = f"> {leaderboard['lead_hours'].max() / 24:.4g}"
    days = (last if isinf(hours) else f"{hours / 24:.1f}" for hours in found["lead_hours"])
    named = [f"{name} {day}" for name, day in zip(found["experiment"], days, strict=True)]
    told = f"skill over the climatological ensemble, by CRPS, ends after (days): {', '.join(named)}"
    return ["", *wrap(told, LINE)] if named else []


def long_rollouts(stability: Mapping[str, pd.DataFrame]) -> list[str]:
    """A line an experiment: at which step the ensemble mean fails, and what is left at the end."""
    found = stability_horizons(stability).set_index("experiment")
    if found.empty:
        return []
    title = [
        "long rollout (MSE of the mean: last step below 1, first as large as that of the climatology; wild: first step",
        f"at which anomalies have a root mean square above {WILD:g}; blew up: at which one is not finite; std, 1 is",
        "right, and power at short waves over the truth's: at the last finite step)",
    ]
    rows = {
        str(name): [_end(row[column], column) for column in LONG]
        for name, row in found[list(LONG)].iterrows()
    }
    return ["", *title, *grid("", list(LONG.values()), rows, 9)]


def _end(value: float, column: str) -> str:
    """Steps as whole numbers, empty where there is none; std and the ratio with two decimals."""
    if isnan(value):
        return ""
    if column not in ("std", "spectrum_ratio"):
        return f"{value:.0f}"
    return f"{value:.2f}" if value < 1000 else f"{value:.0e}"


def seeds_told(table: pd.DataFrame) -> list[str]:
    """What the title of a table over seeds goes on with: how many there are."""
    if "seeds" not in table:
        return []
    seeds = table.loc[table["value"].notna(), "seeds"]
    least = "" if seeds.min() == seeds.max() else f"{seeds.min()} to "
    return [f"mean ± standard deviation; seeds: {least}{seeds.max()}"]


def blocks(rows: pd.DataFrame, column: str, levels: Mapping[float, str], layout: Layout) -> Sequence[str]:
    """A table for each score of the summary: experiments in order of their CRPS, by the levels of `column`."""
    rows = rows[rows[column].isin(list(levels))]
    order = by_crps(rows)
    wide = max((len(name) for name in order), default=0)
    head = {"lead_hours": "lead"}.get(column, column)
    lines: list[str] = []
    for score in layout.summary:
        metric = layout.metrics[score]
        own = rows[(rows["score"] == score) & rows["value"].notna()]
        if own.empty:
            continue
        numbers = own.reindex(columns=["experiment", column, "value", "low", "high", "sd"])
        means = numbers.groupby(["experiment", column]).mean()
        cells = {place: _cell(row, metric) for place, row in means.iterrows()}
        named = set(own["experiment"])
        shown = {name: [cells.get((name, level), "") for level in levels] for name in order if name in named}
        lines += [
            "",
            heading(metric, bool(means["low"].notna().any())),
            *grid(f"{head:<{wide}}", list(levels.values()), shown, 9),
        ]
    return lines


def heading(metric: Metric, intervals: bool) -> str:
    """Title of a block: which values are better, or how to read a paired difference that has intervals."""
    if isinstance(metric, Comparison):
        return metric.title + (PAIRED if intervals else "")
    return f"{metric.title} ({metric.direction})"


def by_crps(rows: pd.DataFrame) -> list[str]:
    """The experiments, the best first."""
    crps = rows[rows["score"] == "crps"].groupby("experiment")["value"].mean()
    return [str(name) for name in crps.sort_values().index]


def _cell(row: pd.Series, metric: Metric) -> str:
    """The value, ± its standard deviation over seeds; of a paired difference with its interval."""
    sign = "+" if isinstance(metric, Comparison) else ""
    text = _number(row["value"], sign)
    if not isnan(row["sd"]):
        return f"{text} ± {_number(row['sd'])} "
    if sign and row[["low", "high"]].notna().all():
        # seen at a glance, and where a bound rounds to 0.000
        star = "*" if row["low"] > 0 or row["high"] < 0 else " "
        return f"{text} ({_number(row['low'], sign)}, {_number(row['high'], sign)}){star}"
    return f"{text} "


def _number(value: float, sign: str = "") -> str:
    """Three decimals, unless it is of a model on its way to blow up."""
    return format(value, f"{sign}.3f" if abs(value) < 1000 else f"{sign}.2g")


def grid(
    corner: str, headings: Sequence[str], rows: Mapping[str, Sequence[str]], least: int
) -> Iterator[str]:
    """Lines of named rows, cells right-aligned in columns of at least so many characters.

    Columns that would make a line longer than LINE stand below the others, as many in each line; a row stands where it
    has a cell.
    """
    wide = max(len(name) for name in (corner, *rows)) + 2
    cell = max(least, 2 + max(len(text) for cells in (headings, *rows.values()) for text in cells))
    lines = ceil(len(headings) / max(1, (LINE - wide) // cell))
    each = ceil(len(headings) / lines)
    for start in range(0, len(headings), each):
        for name, cells in ((corner, headings), *rows.items()):
            part = cells[start : start + each]
            if any(part):
                yield f"{name:<{wide}}{''.join(f'{text:>{cell}}' for text in part)}".rstrip()
